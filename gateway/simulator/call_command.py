"""`telnyx-gateway call`: reads what is asked for, places one `DirectCall`, shows how it goes, and reports."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError
from rich.console import Console

from audio_codecs import Samples
from gateway.errors import ConfigError, PlaybackError
from gateway.protocol.commands import StreamingStart
from gateway.simulator.casting import inline, make_person
from gateway.simulator.direct_call import DirectCall
from gateway.simulator.faults import NO_FAULTS, Faults
from gateway.simulator.line import Speaker
from gateway.simulator.numbers import make_caller
from gateway.simulator.person import Person
from gateway.simulator.playout import TICK
from gateway.simulator.refusal import Refusal
from gateway.simulator.script import ScriptError
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import StreamPlan, plan_stream
from gateway.simulator.switches import Switches
from gateway.simulator.wav import write_wav
from gateway.sound.source import read_source

__all__ = ["call_media_url", "load_person", "make_plan"]

_MAX_SECONDS: Final = 3600
_MAX_SHOWN: Final = 10
_PROGRESS_SECONDS: Final = 0.5

_OK, _BROKEN, _NOT_CALLED = 0, 1, 2


def make_plan(url: str, *, codec: str, rate: int, mode: str, token: str | None, switches: Switches) -> StreamPlan:
    """Fill in the stream as `streaming_start` would ask for it.

    Raises:
        ConfigError: There is no such stream.
    """
    if not url.lower().startswith(("ws://", "wss://")):
        raise ConfigError(f"MEDIA_URL: {url!r} does not begin with ws:// or wss://")
    try:
        plan = plan_stream(
            StreamingStart.model_validate(
                {
                    "stream_url": url,
                    "stream_codec": codec,
                    "stream_bidirectional_codec": codec,
                    "stream_bidirectional_mode": mode,
                    "stream_bidirectional_sampling_rate": rate,
                    "stream_auth_token": token,
                }
            ),
            switches,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"{_option(str(problem['loc'][0]))}: {problem['msg']}") from error
    except Refusal as error:
        raise ConfigError(str(error)) from error
    assert plan is not None
    return plan


def load_person(script: str) -> Person:
    """The person of a script: one of the library's by its name, or a TOML file.

    Raises:
        ConfigError: There is none, or it cannot be followed.
    """
    try:
        return make_person(inline(Path(script)) if script.endswith(".toml") else script)
    except (OSError, ScriptError, ValueError) as error:
        raise ConfigError(f"--script: {error}") from error


def call_media_url(
    plan: StreamPlan,
    *,
    wav: Path | None,
    person: Person | None,
    out: Path | None,
    silence_after: float,
    switches: Switches,
    faults: Faults = NO_FAULTS,
) -> int:
    """Call, show how it goes, write what was heard, and report on standard output.

    Args:
        plan: Of the stream.
        wav: What the caller says; of any rate.
        person: Who calls instead.
        out: Where what was heard is written; nowhere if None.
        silence_after: Seconds that the caller listens after the end of `wav`.
        switches: What Telnyx leaves open.
        faults: What goes wrong at our side.

    Returns:
        The exit status: 0, the far side did well; 1, it did not; 2, it could not be called.

    Raises:
        ConfigError: `wav` cannot be read, or `out` not be written.
    """
    speaker: Speaker = person or make_caller(asyncio.run(_read_speech(wav)), silence_after)
    if out is not None:
        _check_writable(out)
    call = DirectCall(plan, speaker, switches=switches, faults=faults)
    try:
        asyncio.run(_talk(call))
    finally:
        if out is not None and call.opened:
            out.write_bytes(write_wav(call.journal.heard.samples(), sample_rate=SAMPLE_RATE))
    return _report(call, out)


async def _talk(call: DirectCall) -> None:
    async with _progress(call):
        await call.run()


async def _read_speech(wav: Path | None) -> Samples:
    if wav is None:
        return np.zeros(0, np.int16)
    pieces: list[Samples] = []
    try:
        async for piece in read_source(wav, None, to_rate=SAMPLE_RATE):
            pieces.append(piece)
            if sum(map(len, pieces)) > _MAX_SECONDS * SAMPLE_RATE:
                raise ConfigError(f"--wav: {wav} is longer than {_MAX_SECONDS} s")
    except PlaybackError as error:
        raise ConfigError(f"--wav: {error}") from error
    return np.concatenate(pieces)


def _check_writable(out: Path) -> None:
    folder = out.parent
    if out.is_dir() or not folder.is_dir() or not os.access(out if out.exists() else folder, os.W_OK):
        raise ConfigError(f"--out: {out} cannot be written")


@asynccontextmanager
async def _progress(call: DirectCall) -> AsyncIterator[None]:
    """Show a line that changes, on a terminal."""
    if not sys.stderr.isatty():
        yield
        return

    async def show() -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            sent, received = call.journal.messages_sent["media"], call.journal.messages_received["media"]
            sys.stderr.write(f"\r{sent * TICK:6.1f} s: {sent} frames sent, {received} messages received")
            sys.stderr.flush()

    async with asyncio.TaskGroup() as tasks:
        showing = tasks.create_task(show(), name="progress")
        try:
            yield
        finally:
            showing.cancel()
            sys.stderr.write("\n")


def _report(call: DirectCall, out: Path | None) -> int:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not call.opened:
        Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(*call.errors)
        return _NOT_CALLED
    journal = call.journal
    facts = journal.describe()
    sent, received = journal.messages_sent["media"], journal.messages_received
    heard = sum(length for _, length in journal.heard.pieces) / SAMPLE_RATE
    late, trip = call.lateness(99), call.round_trip
    console.print(
        f"sent      {sent} media messages" + ("" if not sent or late is None else f", p99 {1000 * late:.1f} ms late")
    )
    console.print(f"received  {received['media']} media messages: {heard:.2f} s of sound")
    console.print(f"marks     {received['mark']} received, {len(facts['marks_returned'])} returned")
    console.print(f"clear     {received['clear']} received")
    console.print("first     " + ("no sound came back" if trip is None else f"sound back after {1000 * trip:.0f} ms"))
    if out is not None:
        console.print(f"heard     {out}")
    problems = call.problems
    for problem in problems[:_MAX_SHOWN]:
        console.print(f"problem   {problem}")
    if len(problems) > _MAX_SHOWN:
        console.print(f"problem   ... and {len(problems) - _MAX_SHOWN} more")
    return _BROKEN if problems else _OK


def _option(field: str) -> str:
    names = {"stream_auth_token": "--token", "stream_bidirectional_mode": "--mode"}
    return names.get(field, "--rate" if field.endswith("sampling_rate") else "--codec")
