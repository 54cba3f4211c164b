"""Rules and policies over whole calls, between a gateway and the simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from gateway import Agent, Call, Gateway, Settings
from gateway.config import Address
from gateway.control.decider import Announcement
from gateway.decision import Decision
from gateway.errors import ConfigError
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.simulator import SimulatedCall, Simulator
from tests.fakes import ListSink, noise
from tests.integration.phone import Phone
from tests.rtp import free_ports

KEY = "a key that only the tests have"
SALES, SUPPORT, OTHER = "+15550100002", "+15550100003", "+442079460000"


class Greeter(Agent):
    """Says one thing."""

    async def run(self, call: Call) -> None:
        call.play(noise(800), 8000, name="greeting")
        await call.wait_ended()


@asynccontextmanager
async def running(folder: Path, *, brought: dict[str, Any] | None = None, **fields: Any) -> AsyncIterator[Any]:
    """A gateway whose Telnyx is a simulator, both on loopback."""
    log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
    address = Address("127.0.0.1", 0)
    async with asyncio.timeout(20), Simulator(address, log=log) as simulator:
        account = {
            "telnyx_api_key": "KEY",
            "telnyx_public_key": simulator.public_key,
            "telnyx_base_url": simulator.rest_url,
        }
        fields = {"media_listen": address, "http_listen": address, "data_dir": folder, "api_key": KEY} | fields
        async with Gateway(Settings(**account, **fields), log=log, **(brought or {})) as gateway:
            yield simulator, gateway


def call(simulator: Simulator, gateway: Gateway, to: str, from_: str = "+15550100001") -> SimulatedCall:
    url = f"{gateway.http_url}/webhooks/telnyx"
    return simulator.place_call(from_=from_, to=to, speech=noise(1600), webhook_url=url, silence_after=None)


async def record(gateway: Gateway, call_control_id: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{gateway.http_url}/v1/calls/{call_control_id}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        shown: dict[str, Any] = await answer.json()
        return shown


async def until_state(gateway: Gateway, call: SimulatedCall, *states: str) -> dict[str, Any]:
    while (shown := await record(gateway, call.leg.call_control_id)).get("state") not in states:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return shown


async def over(gateway: Gateway, call: SimulatedCall) -> dict[str, Any]:
    """The call's record, once the gateway is through with it; the caller says all, and hangs up."""
    await until_state(gateway, call, "streaming", "ended")
    await asyncio.sleep(0.3)
    call.person_hangs_up()
    await call.wait_finished()
    return await until_state(gateway, call, "stored", "ended")


async def test_each_number_gets_its_agent_sinks_and_codec_or_is_rejected(tmp_path: Path) -> None:
    routes = (
        {"to": SALES, "agent": "greeter", "sinks": ["list", "null"], "codec": "L16"},
        {"to": "+1555*", "agent": "echo", "sinks": []},
        {"action": "reject", "cause": "USER_BUSY"},
    )
    sink = ListSink()
    brought = {"agents": {"greeter": Greeter}, "sinks": {"list": sink.factory}}
    async with running(tmp_path, routes=routes, sinks=(), brought=brought) as (simulator, gateway):
        calls = [call(simulator, gateway, to) for to in (SALES, SUPPORT, OTHER)]
        sales, support = await over(gateway, calls[0]), await over(gateway, calls[1])
        other = await over(gateway, calls[2])
    assert (sorted(sales["media"]["sinks"]), sales["media"]["inbound_codec"]) == (["list", "null"], "L16/16000")
    assert '"greeting"' in json.dumps(sales["media"]["played"])
    assert len(sink.opened) == 1
    assert set(support["media"]["sinks"]) <= {"listener"}  # the echo agent's own
    assert support["media"]["inbound_codec"] == "PCMU/8000"
    assert calls[1].journal.heard.pieces
    assert (other["media"], calls[2].leg.hangup_cause) == (None, "user_busy")


async def test_a_policy_in_python_chooses_and_where_it_does_not_the_settings_do(tmp_path: Path) -> None:
    async def policy(event: Announcement) -> Decision | None:
        return Decision(sinks=("level:?interval=60",)) if event.payload.to == SALES else None

    routes = ({"to": "nobody", "sinks": ["level:?interval=60"]},)  # so that it is open
    async with running(tmp_path, routes=routes, sinks=("null",), brought={"policy": policy}) as (simulator, gateway):
        sales = await over(gateway, call(simulator, gateway, SALES))
        support = await over(gateway, call(simulator, gateway, SUPPORT))
    assert (list(sales["media"]["sinks"]), list(support["media"]["sinks"])) == (["level"], ["null"])


async def test_a_call_is_forked_where_a_rule_says_so(tmp_path: Path) -> None:
    sink = ListSink()
    routes = ({"to": "*", "media": "fork", "sinks": ["list"]},)
    fields: dict[str, Any] = {"fork_listen": free_ports(8), "routes": routes, "sinks": ("null",)}
    async with running(tmp_path, **fields, brought={"sinks": {"list": sink.factory}}) as (simulator, gateway):
        forked = await over(gateway, call(simulator, gateway, SALES))
    assert [one["action"] for one in forked["commands"]] == ["answer", "fork_start"]
    assert list(forked["media"]["sinks"]) == ["list"]
    assert len(sink.frames) >= 5


async def test_the_token_goes_into_the_stream_url_where_headers_get_lost(tmp_path: Path) -> None:
    async with running(tmp_path, stream_token_in="path", agent="echo", sinks=()) as (simulator, gateway):
        placed = call(simulator, gateway, SALES)
        shown = await over(gateway, placed)
        (command,) = [entry for entry in placed.timeline.entries() if entry.get("action") == "streaming_start"]
    assert shown["media"]["end_reason"] == "stop"
    assert placed.journal.heard.pieces
    assert "auth_token" not in str(command)


async def test_a_stream_that_nobody_asked_for_is_routed_by_its_custom_parameters(tmp_path: Path) -> None:
    routes = ({"parameters": {"sink": "none"}, "sinks": []},)
    async with running(tmp_path, media_auth="none", routes=routes, sinks=("null",)) as (_, gateway):
        for parameters in ({"sink": "none"}, {"sink": "other"}):
            async with Phone(gateway.media_url, parameters["sink"]) as phone:
                body = StartBody(
                    call_control_id=phone.call_control_id,
                    media_format=MediaFormat("PCMU", 8000),
                    custom_parameters=parameters,
                )
                phone.stream = CarrierStream("S", body)
                await phone.begin()
                await phone.hang_up()
        shown = [await record(gateway, f"v3:{name}") for name in ("none", "other")]
    assert [list(one["media"]["sinks"]) for one in shown] == [[], ["null"]]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"agent": "ecko"}, "rule 2: 'ecko' is no agent"),
        ({"sinks": ["recorder", "recordr"]}, "rule 2: 'recordr': there is no such sink"),
        ({"media": "fork"}, "rule 2: a fork needs GATEWAY_FORK_LISTEN"),
        ({"codec": "PCMU", "sample_rate": 16000}, "rule 2: SAMPLE_RATE: PCMU has 8000 Hz only"),
        ({"agent": "echo", "agent_options": {"loud": True}}, "rule 2: GATEWAY_AGENT_OPTIONS: the agent takes no"),
    ],
)
async def test_a_rule_that_names_what_there_is_not_is_refused_at_the_start(
    tmp_path: Path, table: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=f"GATEWAY_ROUTES: {complaint}"):
        async with running(tmp_path, routes=({"to": "*"}, table)):
            pass
