"""Whole conversations: the pipeline agent in a gateway, a caller of the simulator, and everything else written down.

Gateway, simulator and chat endpoint run on one clock that does not wait.
"""

import asyncio
import base64
import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import structlog

from audio_codecs import Samples
from gateway import Agent, AudioFrame, Call, Gateway, Settings, StreamInfo
from gateway.agents.pipeline.chat import CHAT_TIMEOUT, ChatClient
from gateway.agents.pipeline.parts import Parts
from gateway.agents.pipeline.pipeline import Pipeline
from gateway.agents.pipeline.settings import PipelineOptions
from gateway.agents.tools import Toolbox, call_tools
from gateway.config import Address
from gateway.errors import SinkError, SpeechError
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.casting import InlineScript
from gateway.simulator.clock import Clock
from gateway.simulator.timelapse import TimeLapseLoop
from gateway.simulator.wav import write_wav
from gateway.sinks.base import INBOUND
from gateway.sinks.delivery import Delivery
from gateway.transcribe.segment import OnSegment, Segment
from tests.gateway.agents.pipeline.chat_server import Answer, ChatServer, chat_server
from tests.gateway.sinks.recorder.recordings import read_wav

LOOPBACK = Address("127.0.0.1", 0)
SPEECH = read_wav(Path(__file__).parents[4] / "examples" / "speech" / "booking.wav")[:, 0]
SOUNDS = {"sentence.wav": SPEECH[800:13_600], "cough.wav": SPEECH[800:3200], "story.wav": SPEECH}
MS_A_CHARACTER = 60

Test = Callable[[Path], Coroutine[Any, Any, None]]


def in_time_lapse(test: Test) -> Callable[[Path], None]:
    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=lambda: TimeLapseLoop(speed=100.0)) as runner:
            runner.run(asyncio.wait_for(test(tmp_path), 120))

    return run


class Speaker:
    """A speech service: a hum, so many milliseconds for each character. What it cannot say, it fails at."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def speak(
        self, text: str, *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Samples]:
        self.texts.append(text)
        if "unspeakable" in text:
            raise SpeechError("it cannot be spoken")
        left = 16 * MS_A_CHARACTER * len(text)
        while left > 0:
            yield np.full(min(left, 4000), 3000, np.int16)
            left -= 4000
            await asyncio.sleep(0)


class Listener:
    """A transcriber that finds its words written down: the next, each time the caller has spoken for a while.

    Words for nothing are "", and nothing is told of them. `late` is how many seconds it takes.
    """

    tracks = INBOUND
    delivery = Delivery(by="task", linger=0.02)

    def __init__(self, words: Sequence[str], info: StreamInfo, on_segment: OnSegment, *, late: float = 0.45) -> None:
        self._words = iter(words)
        self._on_segment = on_segment
        self._late = late
        self._began: int | None = None
        self._loud = 0

    async def write(self, frame: AudioFrame) -> None:
        rate = frame.sample_rate
        if np.abs(frame.samples.astype(np.int32)).mean() > 100:
            self._loud = frame.timestamp + len(frame.samples)
            self._began = frame.timestamp if self._began is None else self._began
        elif self._began is not None and frame.timestamp - self._loud >= self._late * rate:
            began, self._began = self._began, None
            text = next(self._words, "")
            if text == "fail":
                raise SinkError("it has lost its hearing")
            if text:
                self._on_segment(Segment(text=text, start=began / rate, end=self._loud / rate, final=True))


class Talk:
    """One conversation, after its end.

    Attributes:
        events: Of the agent: type and data.
        failure: What its record says of the agent.
    """

    def __init__(self, simulator: Simulator, gateway: Gateway, server: ChatServer, speaker: Speaker) -> None:
        self.server = server
        self.speaker = speaker
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.failure: str | None = None
        self.record: dict[str, Any] = {}
        self.call: SimulatedCall
        self._simulator = simulator
        self._gateway = gateway

    async def have(self, *steps: str) -> None:
        """Have somebody call who follows these steps, and wait for the end."""
        toml = "\n".join(f"[[step]]\n{step}\n" for step in steps)
        sounds = {name: base64.b64encode(write_wav(s, sample_rate=8000)).decode() for name, s in SOUNDS.items()}
        script = InlineScript(toml=toml, sounds={name: s for name, s in sounds.items() if name in toml})
        self.call = self._simulator.place_call(
            from_="+15550100001",
            to="+15550100002",
            script=script,
            webhook_url=f"{self._gateway.http_url}/webhooks/telnyx",
        )
        await self.call.wait_finished()
        await asyncio.sleep(1)
        url = f"{self._gateway.http_url}/v1/calls/{self.call.leg.call_control_id}"
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, headers={"Authorization": "Bearer kkkk"}) as got,
        ):
            self.record = await got.json()
        self.failure = self.record["media"]["agent_error"]

    def told(self, event_type: str) -> list[Mapping[str, Any]]:
        return [data for kind, data in self.events if kind == event_type]

    def messages(self, request: int = -1) -> list[tuple[str, str]]:
        """What the model was told with a request, without the instructions."""
        return [(one["role"], one["content"]) for one in self.server.requests[request]["messages"][1:]]

    def heard_seconds(self) -> float:
        """How long the caller heard the agent."""
        line = self.call.journal.heard.samples()
        return float(np.count_nonzero(np.abs(line) > 1000) / 8000)


@asynccontextmanager
async def talk(
    folder: Path,
    *answers: Answer,
    words: Sequence[str] = (),
    late: float = 0.45,
    key: str | None = None,
    settings: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Talk]:
    """A gateway and its Telnyx; the agent has these options."""
    loop = asyncio.get_running_loop()
    start = time.time() - loop.time()
    clock = Clock(loop.time, lambda: start + loop.time(), loop.call_later)
    log = structlog.wrap_logger(
        None, processors=[structlog.testing.LogCapture()], wrapper_class=structlog.make_filtering_bound_logger("error")
    )
    speaker = Speaker()
    async with (
        chat_server(*answers) as server,
        aiohttp.ClientSession(timeout=CHAT_TIMEOUT) as session,
        Simulator(LOOPBACK, clock=clock, log=log) as simulator,
    ):
        read = PipelineOptions(**{"model": "m", "transcriber": "none", "base_url": server.url} | options)

        @asynccontextmanager
        async def listener(info: StreamInfo, on_segment: OnSegment) -> AsyncIterator[Listener]:
            yield Listener(words, info, on_segment, late=late)

        parts = Parts(
            options=read,
            chat=ChatClient(
                session,
                base_url=read.base_url,
                key=key,
                model=read.model,
                first_timeout=read.chat_timeout,
                next_timeout=read.stall_timeout,
            ),
            speech=speaker,
            open_transcriber=listener,
            tools=Toolbox(call_tools(read.tools, transfer_to=read.transfer_to)),
        )

        class Overheard(Pipeline):
            async def run(self, call: Call) -> None:
                publish = call.publish

                def overhear(event_type: str, data: Mapping[str, Any]) -> None:
                    there.events.append((event_type, data))
                    publish(event_type, data)

                call.publish = overhear  # type: ignore[method-assign]
                await super().run(call)

        def make() -> Agent:
            return Overheard(parts)

        fields: dict[str, Any] = {
            "media_listen": LOOPBACK,
            "http_listen": LOOPBACK,
            "data_dir": folder,
            "api_key": "kkkk",
            "telnyx_api_key": "KEY",
            "telnyx_public_key": simulator.public_key,
            "telnyx_base_url": simulator.rest_url,
            "sinks": (),
        }
        async with Gateway(Settings(**fields | dict(settings or {})), agent=make, log=log, clock=loop.time) as gateway:
            there = Talk(simulator, gateway, server, speaker)
            yield there
