"""Pipecat's Telnyx serializer answers simulated calls: the caller hears an echo, presses keys, interrupts.

The application is what Pipecat's users write: FastAPI routes for webhooks and media, `parse_telephony_websocket` to
learn of the call, a serializer, a transport, a pipeline. Pipecat knows nothing of Call Control, so the commands are
sent by hand. Its serializer cannot hang up at any address but Telnyx's own: the caller hangs up here.
"""

import asyncio
import base64
import io
import os
import random
import struct
import sys
import time
import traceback
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    OutputAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

SIM, REST = os.environ["SIMULATOR_URL"], os.environ["TELNYX_BASE_URL"]
KEY = {"Authorization": f"Bearer {os.environ['TELNYX_API_KEY']}"}
THEIRS, OURS = "+15550100001", "+15550100002"


class Echo(FrameProcessor):  # type: ignore[misc] # has no type where Pipecat is not installed
    """Says what it hears; at a key it says something long, and at the next one it is interrupted."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__()
        self.keys = keys

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame):
            self.keys.append(str(frame.button.value))
            if frame.button.value == "1":
                await self.push_frame(OutputAudioRawFrame(noise(10.0, seed=2), 8000, 1))
            else:
                await self.broadcast_interruption()
        elif isinstance(frame, InputAudioRawFrame):
            if not self.keys:
                await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)


class Bot:
    """The application: answers each call with a stream, and runs a pipeline on it."""

    def __init__(self) -> None:
        self.url = ""
        self.codec = "PCMU"
        self.keys: list[str] = []
        self.telephony: list[Any] = []
        self.app = FastAPI()
        self.app.post("/webhooks")(self.webhook)
        self.app.websocket("/media")(self.media)

    async def webhook(self, request: Request) -> Response:
        data = (await request.json())["data"]
        if data["event_type"] == "call.initiated":
            stream = {
                "stream_url": self.url.replace("http", "ws") + "/media",
                "stream_codec": self.codec,
                "stream_bidirectional_mode": "rtp",
                "stream_bidirectional_codec": self.codec,
            }
            action = f"{REST}/calls/{data['payload']['call_control_id']}/actions/answer"
            async with aiohttp.ClientSession() as session, session.post(action, json=stream, headers=KEY) as answer:
                answer.raise_for_status()
        return Response()

    async def media(self, websocket: WebSocket) -> None:
        await websocket.accept()
        kind, call = await parse_telephony_websocket(websocket)
        self.telephony.append((kind, call))
        serializer = TelnyxFrameSerializer(
            stream_id=call["stream_id"],
            outbound_encoding=call["outbound_encoding"],
            inbound_encoding=self.codec,
            params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
        )
        transport = FastAPIWebsocketTransport(
            websocket=websocket,
            params=FastAPIWebsocketParams(
                serializer=serializer,
                audio_in_enabled=True,
                audio_out_enabled=True,
                audio_out_10ms_chunks=2,
                audio_out_auto_silence=False,
                audio_out_end_silence_secs=0,
            ),
        )
        worker = PipelineWorker(
            Pipeline([transport.input(), Echo(self.keys), transport.output()]),
            idle_timeout_secs=None,
            enable_rtvi=False,
            params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
        )

        async def gone(*_: Any) -> None:
            await worker.cancel()

        transport.add_event_handler("on_client_disconnected", gone)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()


class Session:
    """One run of all checks, which share the application."""

    def __init__(self, bot: Bot, http: aiohttp.ClientSession) -> None:
        self.bot = bot
        self.http = http

    async def call(self, codec: str = "PCMU", **fields: Any) -> dict[str, Any]:
        """Have somebody call, and wait for the end; returns all about the call."""
        self.bot.codec = codec
        self.bot.keys.clear()
        body = {"from": THEIRS, "to": OURS, "webhook_url": f"{self.bot.url}/webhooks"} | fields
        async with self.http.post(f"{SIM}/calls", json=body) as answer:
            placed = await answer.json()
            assert answer.status == 200, placed
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            async with self.http.get(f"{SIM}/calls/{placed['data']['call_control_id']}") as answer:
                call: dict[str, Any] = (await answer.json())["data"]
            if call["finished"]:
                assert call["errors"] == [], call["errors"]
                return call
            await asyncio.sleep(0.05)
        raise AssertionError("the call did not end")

    async def heard(self, call: dict[str, Any], party: str) -> tuple[int, ...]:
        """What one party heard, as samples."""
        async with self.http.get(f"{SIM}/calls/{call['call_control_id']}/heard/{party}.wav") as answer:
            with wave.open(io.BytesIO(await answer.read())) as file:
                return struct.unpack(f"<{file.getnframes()}h", file.readframes(file.getnframes()))

    # --- the checks -------------------------------------------------------------------------------------------

    async def check_echo_pcmu(self) -> None:
        """PCMU: the caller hears the own echo byte for byte."""
        await self._echo("PCMU")

    async def check_echo_pcma(self) -> None:
        """PCMA: the same."""
        await self._echo("PCMA")

    async def check_telephony(self) -> None:
        """parse_telephony_websocket knows the stream as Telnyx's, with ids, codec and numbers."""
        call = await self.call(audio=wav(noise(0.2, seed=3)))
        kind, known = self.bot.telephony[-1]
        assert kind == "telnyx"
        assert known["call_id"] == call["call_control_id"]
        assert (known["outbound_encoding"], known["from"], known["to"]) == ("PCMU", THEIRS, OURS)

    async def check_keys_and_clear(self) -> None:
        """Keys come as InputDTMFFrame; an interruption is `clear`, and silence is heard within 200 ms of the key."""
        toml = """
title = "Presses 1, hears ten seconds begin, presses 2, and wants silence"

[[step]]
wait = 0.3

[[step]]
press = "1"

[[step]]
listen = "speech"
within = 2.0

[[step]]
wait = 0.5

[[step]]
press = "2"
gap_ms = 40
tone_ms = 40

[[step]]
listen = "silence"
within = 0.2
lasting = 0.5
"""
        call = await self.call(script={"toml": toml})
        assert [step["failure"] for step in call["person"]] == [None] * 6, call["person"]
        assert self.bot.keys == ["1", "2"]
        assert call["messages_received"]["clear"] == 1, call["messages_received"]

    async def _echo(self, codec: str) -> None:
        """All bytes: no sample is 0 on the wire, the one value that has two codes in PCMU."""
        call = await self.call(codec, audio=wav(noise(2.0, seed=1)), silence_after=1.0)
        said, heard = await self.heard(call, "application"), await self.heard(call, "person")
        speech = said[: said.index(0)] if 0 in said else said
        assert len(speech) >= 16000, len(speech)
        pieces = call["heard_pieces"]  # a busy machine may tear holes: the claim is about what came, not when
        echo = [sample for start, length in pieces for sample in heard[start : start + length]]
        assert echo[:16000] == list(speech[:16000]), f"the echo is not what was sent; pieces: {pieces[:10]}"
        print(f"          {codec}: echo after {pieces[0][0] / 8:g} ms, in {len(pieces)} pieces")


def noise(seconds: float, *, seed: int) -> bytes:
    """Noise without small samples, as little-endian octets."""
    dice = random.Random(seed)
    samples = [dice.choice((-1, 1)) * dice.randint(1000, 20000) for _ in range(round(8000 * seconds))]
    return struct.pack(f"<{len(samples)}h", *samples)


def wav(octets: bytes) -> str:
    """A WAV file in base64."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(octets)
    return base64.b64encode(buffer.getvalue()).decode()


@asynccontextmanager
async def serve(bot: Bot) -> AsyncIterator[None]:
    """Run the application on a free port."""
    server = uvicorn.Server(uvicorn.Config(bot.app, host="127.0.0.1", port=0, log_level="warning"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve())
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        bot.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.should_exit = True


async def main() -> int:
    """Run every check; each that fails is told with its reason."""
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    print(f"pipecat-ai {version('pipecat-ai')}")
    bot, failed = Bot(), 0
    async with serve(bot), aiohttp.ClientSession() as http:
        session = Session(bot, http)
        for name in [name for name in vars(Session) if name.startswith("check_")]:
            check = getattr(session, name)
            result = "ok"
            try:
                await check()
            except Exception:  # noqa: BLE001 - the other checks may still tell something
                result, failed = "FAILED", failed + 1
                traceback.print_exc()
            print(f"  {result:7} {check.__doc__}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
