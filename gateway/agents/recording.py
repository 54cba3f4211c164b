"""Recording until somebody has said what there was to say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from gateway.call import Call
from gateway.items import CallItem, Dtmf, SpeechEnded, SpeechStarted
from gateway.sinks.recorder.beep import beep

__all__ = ["listen_until", "record_until"]

_BEEP_RATE: Final = 8000
_DETECTOR: Final = "speech"
"""What `Call.detect_speech` is called among the sinks."""


async def listen_until(call: Call, *, seconds: float, silence: float | None, keys: bool) -> str:
    """Wait until there was enough.

    Args:
        call: The call.
        seconds: Longest time.
        silence: Seconds without speech, also from the beginning on, that are enough; None: none are.
        keys: Whether a key is enough.

    Returns:
        Why: `limit`, `silence`, `key`, or `hangup`.
    """
    loop = asyncio.get_running_loop()
    items: AsyncIterator[CallItem] = aiter(call)
    await _forget(items)
    if silence is not None and _DETECTOR not in call.report()["sinks"]:
        call.detect_speech()
    end = loop.time() + seconds
    quiet_since: float | None = loop.time()
    while True:
        quiet_end = end if silence is None or quiet_since is None else quiet_since + silence
        try:
            async with asyncio.timeout_at(min(end, quiet_end)):
                item = await anext(items, None)
        except TimeoutError:
            return "limit" if loop.time() >= end else "silence"
        match item:
            case None:
                return "hangup"
            case Dtmf() if keys:
                return "key"
            case SpeechStarted():
                quiet_since = None
            case SpeechEnded():
                quiet_since = loop.time()


async def _forget(items: AsyncIterator[CallItem]) -> None:
    """Drop what waits to be read, such as the keys of a menu before."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            while await anext(items, None) is not None:
                pass


async def record_until(call: Call, *, seconds: float, silence: float | None, keys: bool) -> str:
    """Beep, record, and wait as `listen_until` does; returns why it ended."""
    recording = await call.record_start()
    try:
        call.play(beep(_BEEP_RATE), _BEEP_RATE, name="beep")
        return await listen_until(call, seconds=seconds, silence=silence, keys=keys)
    finally:
        if call.end_reason is None:
            call.record_stop(recording)
