"""What a whole call with all its mishaps leaves in the log, at its most talkative: none of what is secret."""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from aiohttp import web
from nacl.signing import SigningKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway import Agent, Call, Gateway, Settings
from gateway.config import Address
from gateway.protocol.commands import Transfer
from gateway.protocol.messages import AUTH_FIELD
from gateway.protocol.signature import sign
from gateway.simulator import Simulator
from gateway.simulator.casting import InlineScript
from tests.gateway.control.conftest import webhook
from tests.gateway.server.wire import until

CALLER, CALLED, ELSEWHERE = "+15550100001", "+15550100002", "+15550100003"
DIGITS = "47110815"
WORDS = "my name is rumpelstilzchen"
API_KEY, TELNYX_KEY, URL_KEY = "the gateways own key 0123", "KEY0123456789ABCDEF_secret", "a-key-inside-a-url"
LOOPBACK = Address("127.0.0.1", 0)


class Clerk(Agent):
    """Asks for digits, hears words, and fails with what Telnyx says of a number."""

    async def run(self, call: Call) -> None:
        gathered = await call.gather(max_digits=len(DIGITS), initial_timeout=60, inter_digit_timeout=60)
        assert gathered.digits == DIGITS
        call.publish("transcription.final", {"text": WORDS})
        await call.command(Transfer(to=ELSEWHERE))


class Telnyx:
    """Stands around the simulator's API: sees the tokens, and refuses a transfer in many words."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def __call__(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.endswith("/streaming_start"):
            self.tokens.append((await request.json())["stream_url"].rpartition("/")[2])
        if request.path.endswith("/transfer"):
            refusal = {"code": "10016", "title": "Not allowed", "detail": f"{ELSEWHERE} cannot be called by {CALLER}"}
            return web.json_response({"errors": [refusal]}, status=422)
        answer: web.StreamResponse = await handler(request)
        return answer


@pytest.mark.parametrize("style", ["json", "text"])
async def test_no_secret_of_a_whole_call_is_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], style: Literal["json", "text"]
) -> None:
    telnyx, key = Telnyx(), SigningKey(b"t" * 32)
    async with Simulator(LOOPBACK, signing_key=key, around=telnyx) as simulator:
        settings = Settings(
            media_listen=LOOPBACK,
            http_listen=LOOPBACK,
            data_dir=tmp_path,
            api_key=API_KEY,
            telnyx_api_key=TELNYX_KEY,
            telnyx_public_key=simulator.public_key,
            telnyx_base_url=simulator.rest_url,
            stream_token_in="path",
            forward_url=f"http://127.0.0.1:1/hook?key={URL_KEY}",
            routes=({"name": "clerk", "to": CALLED, "agent": "clerk"},),
            log_level="debug",
            log_format=style,
        )
        async with Gateway(settings, agents={"clerk": Clerk}) as gateway, aiohttp.ClientSession() as http:
            hook = f"{gateway.http_url}/webhooks/telnyx"

            async def post(event_id: str, signed_with: SigningKey, **payload: Any) -> int:
                payload = {"call_control_id": call.leg.call_control_id, "from": CALLER, "to": CALLED, **payload}
                body = webhook("streaming.failed", payload, id=event_id)
                headers = sign(body, key=signed_with, now=time.time())
                async with http.post(hook, data=body, headers=headers) as answer:
                    return answer.status

            script = InlineScript(
                toml=f'[[step]]\nwait = 0.3\n[[step]]\npress = "{DIGITS}"\ntone_ms = 40\ngap_ms = 40\n'
                "[[step]]\nwait = 60\n"
            )
            call = simulator.place_call(from_=CALLER, to=CALLED, script=script, webhook_url=hook)
            await until(lambda: call.leg.call_control_id and telnyx.tokens)
            token = telnyx.tokens[0]
            url = gateway.media_url
            for wrong in (f"{token[:-4]}AAAA", "+15550100009"):
                for path, headers in ((f"{url}/{wrong}", {}), (url, {AUTH_FIELD: wrong})):
                    with pytest.raises(InvalidStatus):
                        await connect(path, additional_headers=headers)
            async with http.get(
                f"{gateway.http_url}/v1/calls", headers={"Authorization": f"Bearer {URL_KEY}"}
            ) as answer:
                assert answer.status == 401
            assert await post("forged", SigningKey(b"x" * 32)) == 403
            assert await post("failed", key, failure_reason=f"cannot reach {url}/{token} for {CALLED}") == 200

            async def record() -> Any:
                path = f"{gateway.http_url}/v1/calls/{call.leg.call_control_id}"
                async with http.get(path, headers={"Authorization": f"Bearer {API_KEY}"}) as answer:
                    return await answer.json()

            while not (shown := await record())["media"]["agent_error"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert ELSEWHERE in shown["media"]["agent_error"]  # in the record, for whoever may read it
            call.person_hangs_up()
            await call.wait_finished()
    log = capsys.readouterr().err
    for event in (
        "call decided",
        "stream started",
        "agent failed",
        "webhook refused",
        "streaming failed",
        "forwarding",
    ):
        assert event in log
    if style == "json":
        assert all(json.loads(line)["event"] for line in log.splitlines())
    secrets = (CALLER, CALLED, ELSEWHERE, DIGITS, WORDS, API_KEY, TELNYX_KEY, URL_KEY, *telnyx.tokens, token[:-4])
    assert "[number]" in log  # as Telnyx quoted one to the agent
    for secret in (*secrets, *(secret.removeprefix("+") for secret in secrets), "rumpel"):
        assert secret not in log, secret
    assert not re.search(r"digits?\W{1,4}[0-9]", log)
    assert not re.search(r"[0-9A-Za-z+/=]{100}", log)
