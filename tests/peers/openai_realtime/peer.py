"""The agent `realtime` on the types of OpenAI's own package: each message, both ways, is held against them.

A gateway answers a simulated call and is led through a conversation by a service that stands here: session, sound both
ways, an interruption with truncation, a function that hangs up. What the gateway sends must be an event that the
package knows, with no field that it does not; so must what the service sends, else the gateway is shown a fiction.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter
from websockets.asyncio.server import ServerConnection, serve

SIM = os.environ["SIMULATOR_URL"]
ROOT = Path(__file__).resolve().parents[3]
CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
SECOND = bytes(range(128, 256)) * 62 + bytes(64)  # of PCMU
CALLER = "[[step]]\nwait = 20.0\n"


def check(adapter: TypeAdapter[Any], event: dict[str, Any]) -> None:
    """Hold an event against the types: it is one of them, and has nothing beyond."""
    model = adapter.validate_python(event)
    assert isinstance(model, BaseModel), f"{event['type']} is no event: {model!r}"
    assert not (extra := list(beyond(model))), f"{event['type']} has {extra}"


def beyond(value: Any) -> list[str]:
    """The fields that the types do not have, however deep."""
    if isinstance(value, list):
        return [name for one in value for name in beyond(one)]
    if not isinstance(value, BaseModel):
        return []
    names = list(value.model_extra or {})
    return names + [name for field in type(value).model_fields for name in beyond(getattr(value, field))]


class Service:
    """Leads one conversation; `steps` are those that went well."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.checked = {"client": 0, "server": 0}
        self.failure: Exception | None = None
        self.done = asyncio.Event()

    async def serve(self, socket: ServerConnection) -> None:
        try:
            async with asyncio.timeout(20):
                await self.converse(socket)
        except Exception as error:  # noqa: BLE001 - told in the end
            self.failure = error
        self.done.set()
        await socket.wait_closed()

    async def send(self, socket: ServerConnection, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": "event_1"} | fields
        check(SERVER, event)
        self.checked["server"] += 1
        await socket.send(json.dumps(event))

    async def read(self, socket: ServerConnection) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await socket.recv())
        check(CLIENT, event)
        self.checked["client"] += 1
        return event

    async def told(self, socket: ServerConnection, kind: str) -> dict[str, Any]:
        """The next event other than sound."""
        while (event := await self.read(socket))["type"] == "input_audio_buffer.append":
            pass
        assert event["type"] == kind, event
        return event

    async def hear(self, socket: ServerConnection, octets: int) -> None:
        while octets > 0:
            event = await self.read(socket)
            assert event["type"] == "input_audio_buffer.append", event
            octets -= len(base64.b64decode(event["audio"]))

    async def converse(self, socket: ServerConnection) -> None:
        session = {"type": "realtime", "model": "gpt-realtime"}
        await self.send(socket, "session.created", session=session)
        asked = (await self.told(socket, "session.update"))["session"]
        assert asked["audio"]["input"]["format"] == asked["audio"]["output"]["format"] == {"type": "audio/pcmu"}
        await self.send(socket, "session.updated", session=session)
        await self.told(socket, "response.create")
        self.steps.append("session and greeting")
        await self.respond(socket, "resp_1", "item_1")
        await self.hear(socket, 4000)
        self.steps.append("sound both ways")
        await self.send(socket, "input_audio_buffer.speech_started", audio_start_ms=400, item_id="item_2")
        cut = await self.told(socket, "conversation.item.truncate")
        assert cut["item_id"] == "item_1"
        assert 0 < cut["audio_end_ms"] < 3000, cut
        self.steps.append(f"truncated at {cut['audio_end_ms']} ms")
        await self.send(socket, "input_audio_buffer.speech_stopped", audio_end_ms=600, item_id="item_2")
        call = {"type": "function_call", "status": "completed", "name": "send_dtmf", "call_id": "call_1"}
        await self.finish(socket, "resp_2", [call | {"arguments": '{"digits": "1"}'}])
        output = (await self.told(socket, "conversation.item.create"))["item"]
        assert output["call_id"] == "call_1", output
        await self.told(socket, "response.create")
        self.steps.append("a function was called")
        await self.finish(socket, "resp_3", [call | {"name": "hangup", "call_id": "call_2", "arguments": "{}"}])

    async def respond(self, socket: ServerConnection, response_id: str, item_id: str) -> None:
        await self.send(socket, "response.created", response={"id": response_id, "status": "in_progress"})
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        for _ in range(3):
            delta = base64.b64encode(SECOND).decode()
            await self.send(socket, "response.output_audio.delta", **where, delta=delta)

    async def finish(self, socket: ServerConnection, response_id: str, output: list[dict[str, Any]]) -> None:
        await self.send(socket, "response.created", response={"id": response_id, "status": "in_progress"})
        await self.send(socket, "response.done", response={"id": response_id, "status": "completed", "output": output})


@asynccontextmanager
async def gateway(url: str, folder: str) -> AsyncIterator[str]:
    """A gateway whose agent is at this URL; gives where its webhooks go."""
    options = {"url": url, "greeting": "Say hello.", "tools": ["hangup", "send_dtmf"], "instructions": "Be brief."}
    settings = {
        "GATEWAY_AGENT": "realtime",
        "GATEWAY_AGENT_OPTIONS": json.dumps(options),
        "GATEWAY_DATA_DIR": folder,
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
        "OPENAI_API_KEY": "sk-peer",
    }
    python = str(ROOT / ".venv" / "bin" / "python")
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "gateway",
        "serve",
        env=os.environ | settings,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            ready = (await process.stdout.readline()).decode().split()
        yield dict(word.split("=", 1) for word in ready[1:])["http"] + "/webhooks/telnyx"
    finally:
        process.terminate()
        await process.wait()


async def main() -> int:
    """Run the conversation."""
    print(f"openai {version('openai')}")
    service = Service()
    with tempfile.TemporaryDirectory() as folder:
        async with serve(service.serve, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
            async with gateway(url, folder) as webhooks, aiohttp.ClientSession() as http:
                body = {
                    "from": "+15550100001",
                    "to": "+15550100002",
                    "webhook_url": webhooks,
                    "script": {"toml": CALLER},
                }
                async with http.post(f"{SIM}/calls", json=body) as answer:
                    placed = await answer.json()
                    assert answer.status == 200, placed
                async with asyncio.timeout(30):
                    await service.done.wait()
                    call: dict[str, Any] = {"finished": False}
                    while service.failure is None and not call["finished"]:
                        await asyncio.sleep(0.05)
                        async with http.get(f"{SIM}/calls/{placed['data']['call_control_id']}") as answer:
                            call = (await answer.json())["data"]
    for step in service.steps:
        print(f"  ok      {step}")
    if service.failure is not None:
        print(f"  FAILED  {type(service.failure).__name__}: {service.failure}")
        return 1
    print(f"  ok      hung up; events checked: {service.checked}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
