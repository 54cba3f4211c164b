"""Telnyx's own transcription: begun and ended by commands, told by webhooks.

`telnyx:` begins it for each call (`transcription_start`), and ends it with the stream. What is told
(`call.transcription`) becomes the same segments as those of any other transcriber, whoever has begun it: also a program
by `/v2`, or a dial with `transcription`. Telnyx tells no places: a segment stands where its event occurred, counted
from the stream's beginning, with no length.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from gateway.errors import CallEndedError, ControlError, SinkError
from gateway.media.frame import AudioFrame, FrameTrack
from gateway.protocol.commands import Command, TranscriptionStart, TranscriptionStop
from gateway.protocol.events import CallTranscription
from gateway.sinks.base import SinkFactory, StreamInfo
from gateway.sinks.url import SinkConfig
from gateway.transcribe.segment import Publish, Segment

__all__ = ["NAME", "SendCommand", "segment_of", "tell_transcription", "telnyx_source"]

NAME: Final = "telnyx"

SendCommand: TypeAlias = Callable[[str, Command], Awaitable[object]]
"""Sends a command for a call, by its `call_control_id`; raises `ControlError`."""

_TRACKS: Final[Mapping[str, FrameTrack]] = {"inbound": "inbound", "outbound": "outbound"}
_MAX_TEXT: Final = 20_000


def segment_of(event: CallTranscription, *, started_at: float | None) -> Segment | None:
    """What an event says.

    Args:
        event: Of Telnyx.
        started_at: Unix time at which the call's stream began; None if it has none.

    Returns:
        None where nothing was said.
    """
    data = event.payload.transcription_data
    text = "" if data is None or data.transcript is None else data.transcript.strip()[:_MAX_TEXT]
    if data is None or not text:
        return None
    at = max(0.0, _unix_time(event.occurred_at) - started_at) if started_at is not None else 0.0
    return Segment(
        text=text,
        start=at,
        end=at,
        final=data.is_final is not False,
        track=_TRACKS.get(data.transcription_track or "", "inbound"),
        confidence=data.confidence,
        transcriber=NAME,
    )


class _Silent:
    """A sink that wants no frames: Telnyx has them itself."""

    tracks: frozenset[FrameTrack] = frozenset()

    def write(self, frame: AudioFrame) -> None:
        """Is never called."""

    def describe(self) -> dict[str, Any]:
        """Who does the work."""
        return {"transcriber": NAME}


def tell_transcription(event: CallTranscription, *, started_at: float | None, publish: Publish) -> None:
    """Tell what an event says to everybody who follows the call.

    Args:
        event: Of Telnyx.
        started_at: Unix time at which the call's stream began; None if it has none.
        publish: Tells an event of a call, by its `call_control_id`.
    """
    segment = segment_of(event, started_at=started_at)
    if segment is not None and event.payload.call_control_id is not None:
        publish(event.payload.call_control_id, segment.event_type, segment.describe())


def telnyx_source(config: SinkConfig, command: SendCommand) -> SinkFactory:
    """`telnyx:`, with Telnyx's own fields: `?transcription_engine=Google&language=de&interim_results=true`.

    Options other than `transcription_engine` and `transcription_tracks` are those of the engine.

    Args:
        config: What stands in the settings.
        command: Sends commands.

    Raises:
        ValueError: Telnyx has no such options.
    """
    config.only(*config.options)
    start = _start_command(config.options)

    @asynccontextmanager
    async def open_it(info: StreamInfo) -> AsyncIterator[_Silent]:
        try:
            await command(info.call_control_id, start)
        except ControlError as error:
            raise SinkError(f"Telnyx does not transcribe: {error}") from error
        try:
            yield _Silent()
        finally:
            await _stop(command, info, config.log)

    return open_it


async def _stop(command: SendCommand, info: StreamInfo, log: FilteringBoundLogger) -> None:
    """End it; where the call has ended, that has ended as well."""
    try:
        await command(info.call_control_id, TranscriptionStop())
    except CallEndedError:
        pass
    except ControlError as error:
        log.warning("transcription not stopped", stream_id=info.stream_id[:64], status=error.status, code=error.code)


def _start_command(options: Mapping[str, str]) -> TranscriptionStart:
    fields: dict[str, Any] = {
        name: options[name] for name in ("transcription_engine", "transcription_tracks") if name in options
    }
    engine = {name: _value(value) for name, value in options.items() if name not in fields}
    if engine:
        fields["transcription_engine_config"] = engine
    try:
        return TranscriptionStart(**fields)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("<"))
        raise ValueError(f"{where}: {problem['msg']}") from error


def _value(text: str) -> object:
    """What the text stands for: a number, true, false, or a list as JSON; else the text itself."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return text if value is None else value


def _unix_time(text: str | None) -> float:
    """Of ISO 8601; now where it is none."""
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return datetime.now().astimezone().timestamp()
