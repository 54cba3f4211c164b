"""What `/v1` answers, as models: for the OpenAPI document, and for tests that hold answers against it."""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from gateway.lifecycle import CallState

__all__ = [
    "CallDetails",
    "CallPage",
    "CallShown",
    "CommandShown",
    "Errors",
    "Problem",
    "RecordingPage",
    "SegmentShown",
    "Sidecar",
    "TranscriptShown",
]

UnixTime: TypeAlias = Annotated[float, Field(description="Unix time, in seconds")]
State: TypeAlias = Literal[
    "dialled",
    "ringing",
    "answered",
    "stream_requested",
    "connected",
    "streaming",
    "stopped",
    "ended",
    "stored",
]
assert set(get_args(State)) == {state.name.lower() for state in CallState}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class Problem(_Answer):
    """Problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


class TelnyxError(_Answer):
    """One of the errors that Telnyx answers with."""

    code: str | None = None
    title: str | None = None
    detail: str | None = None


class Errors(_Answer):
    """Telnyx's shape of errors, its own as they came."""

    errors: list[TelnyxError]


class CallShown(_Answer):
    """One call. `media` is the report of its sound, running or final: docs/media.md."""

    call_control_id: str
    state: State
    direction: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    reached: dict[State, UnixTime]
    hangup_cause: str | None
    problems: list[str]
    media: dict[str, Any] | None


class CommandShown(_Answer):
    """What became of a command; `status` is that of HTTP, 0 where no answer came."""

    command_id: str | None
    action: str
    sent_at: UnixTime
    seconds: float
    attempts: int
    status: int
    code: str


class CallDetails(CallShown):
    """One call, with the commands that were sent to it."""

    commands: list[CommandShown]


class SegmentShown(_Answer):
    """A stretch of speech, as its event `transcription.final` told it: docs/transcribers.md."""


class TranscriptShown(_Answer):
    """What was said in one call, by the place where it begins."""

    segments: list[SegmentShown]


class CallPage(_Answer):
    """A page of the calls; `next_cursor` is null on the last one."""

    calls: list[CallShown]
    next_cursor: str | None
    counters: dict[str, Any]
    workers_missing: list[int] = Field([], description="workers whose calls may be shown as they were stored")


class RecordingShown(_Answer):
    """What is known of a recording at a glance."""

    id: str
    state: str | None
    complete: bool | None
    file: str | None
    call_control_id: str | None
    started_at: float | None
    duration: float | None


class RecordingPage(_Answer):
    """A page of the recordings; `next_cursor` is null on the last one."""

    recordings: list[RecordingShown]
    next_cursor: str | None


class Sidecar(_Answer):
    """All of `recording.json`: docs/recording.md."""

    id: str
