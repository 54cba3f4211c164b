"""Every exception of the gateway, as one tree, split by who broke what.

    GatewayError
        ConfigError                 a setting is wrong: say which and what would be right, do not start
        WorkerError                 a worker process cannot start: say why, start none
        LocalProtocolError          our code used the protocol wrongly: a bug, let it surface
        RemoteProtocolError         the carrier broke the protocol: count it; too many close that stream
            UnsupportedCodecError   the stream announced a codec we cannot decode: close it with 1003
            DatagramError           a datagram is no RTP packet: count it by its .reason, drop it
        SignatureError              a webhook cannot be trusted: answer 403
        AdmissionError              a media socket may not come in: refuse it, by its .reason
        PlaybackError               a play, mark or key cannot be sent: the call goes on without it
        SinkError                   a sink failed: stop that sink, keep the call
        AgentError                  an agent failed: end it, keep the call
            ChatError               a chat endpoint failed: apologise; has .status and .retryable
        SpeechError                 a text cannot be spoken: the play that speaks it ends, the call goes on
        MediaServiceError           a media service cannot do what is asked: nothing was done; has .status
        RecordingError              a file is no recording, damaged or sealed: say so, leave it as it is
        StoreError                  what must outlive the process cannot be written: refuse it, it comes again
        InboxFullError              no room for another event: refuse it, it comes again
        WorkerGoneError             another worker of this gateway does not answer: try later
        ControlError                Call Control said no: has .status, .code, .detail and .retryable
            AuthenticationError     401, 403: the API key is wrong, or may not do this: tell the operator
            UnknownCallError        404: Telnyx has no such call or resource
            InvalidCommandError     400, 422: the command is wrong, or comes at the wrong moment
                CallEndedError      the call is over: there is nothing left to do
                MalformedCommandError   found here already, nothing was sent: pass on its .errors
            RateLimitError          429, or our own limit: too fast; try later
            UnavailableError        408, 5xx, no answer in time: it may have acted; try later
                CircuitOpenError    not sent: the API has failed too often just now; try later

Beside the tree stands `audio_codecs.CodecError`, as the codecs know nothing of the gateway: a payload cannot be
decoded; conceal the frame, count it.
"""

from typing import Any, Literal

__all__ = [
    "AdmissionError",
    "AgentError",
    "AuthenticationError",
    "CallEndedError",
    "ChatError",
    "CircuitOpenError",
    "ConfigError",
    "ControlError",
    "DatagramError",
    "GatewayError",
    "InboxFullError",
    "InvalidCommandError",
    "LocalProtocolError",
    "MalformedCommandError",
    "MediaServiceError",
    "PlaybackError",
    "RateLimitError",
    "RecordingError",
    "RemoteProtocolError",
    "SignatureError",
    "SinkError",
    "SpeechError",
    "StoreError",
    "UnavailableError",
    "UnknownCallError",
    "UnsupportedCodecError",
    "WorkerError",
    "WorkerGoneError",
]


class GatewayError(Exception):
    """The root of everything the gateway raises on purpose."""


class ConfigError(GatewayError):
    """A setting is missing, unknown or out of range."""


class WorkerError(GatewayError):
    """A worker process cannot start; the text is for the operator, whole as it is."""


class LocalProtocolError(GatewayError):
    """Our own code asked for something the protocol does not allow in this state."""


class RemoteProtocolError(GatewayError):
    """The other side sent something the protocol does not allow."""


class UnsupportedCodecError(RemoteProtocolError):
    """The stream announced a codec, rate or channel count that cannot be decoded here."""


class DatagramError(RemoteProtocolError):
    """A datagram is no RTP packet.

    Attributes:
        reason: A short constant, good for a counter.
    """

    def __init__(self, reason: Literal["short", "version", "rtcp", "padding", "strep"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SignatureError(GatewayError):
    """A webhook's signature is missing, stale or wrong.

    Attributes:
        reason: Which of these, as a short constant, good for a log field and a counter.
    """

    def __init__(self, reason: Literal["missing", "malformed", "stale", "wrong"], message: str) -> None:
        super().__init__(message)
        self.reason = reason


class AdmissionError(GatewayError):
    """A media socket may not come in.

    Attributes:
        reason: A short constant, good for a log field and a counter.
        status: The HTTP status to refuse the upgrade with.
    """

    def __init__(self, reason: str, status: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class PlaybackError(GatewayError):
    """What is to be played cannot be read, cannot be sent on this stream, or is too much."""


class SinkError(GatewayError):
    """A sink failed; the call goes on without it."""


class AgentError(GatewayError):
    """An agent failed; the call goes on without it."""


class ChatError(AgentError):
    """A chat endpoint does not answer, or not to the end.

    Attributes:
        status: HTTP status of its answer, if it was none to be used; 0 else.
        retryable: The same request may succeed when it is sent again.
    """

    def __init__(self, message: str, *, status: int = 0, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable


class SpeechError(GatewayError):
    """A speech service cannot speak a text: not installed, no key, refused, or no answer in time."""


class MediaServiceError(GatewayError):
    """A media service of a call cannot do what it was asked for.

    Attributes:
        status: What HTTP answers: 404 there is no such thing, 409 not in this state of the call, 422 it makes no sense,
            503 nothing is set up for it.
    """

    def __init__(self, message: str, *, status: Literal[404, 409, 422, 503] = 409) -> None:
        super().__init__(message)
        self.status = status


class RecordingError(GatewayError):
    """A file is no recording, or is damaged, or cannot be read without the right key."""


class StoreError(GatewayError):
    """The store cannot be opened, read or written."""


class InboxFullError(GatewayError):
    """Too many events are waiting for their handler."""


class WorkerGoneError(GatewayError):
    """Another worker of this gateway is not there, or does not answer."""


class ControlError(GatewayError):
    """A Call Control command was refused or could not be delivered.

    Attributes:
        status: HTTP status of the answer; 0 when there was none.
        code: Telnyx's error code, digits as text; empty when there was none.
        title: Telnyx's words for that code, such as `Call has already ended`; empty when there were none.
        detail: What Telnyx says of this very command; empty when it said nothing.
        errors: All of them as Telnyx sent them; empty when there were none.
        retryable: The same command may succeed later: 408, 429, 5xx, no answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        title: str = "",
        detail: str = "",
        errors: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors or []
        self.retryable = status in (0, 408, 429) or status >= 500


class AuthenticationError(ControlError):
    """Telnyx does not know the API key, or the key may not do this: 401 or 403."""


class UnknownCallError(ControlError):
    """Telnyx has no such call, or no such resource: 404."""


class InvalidCommandError(ControlError):
    """Telnyx found the command wrong, or wrong at this moment of the call: 400 or 422."""


class CallEndedError(InvalidCommandError):
    """The call is over and takes no more commands: Telnyx's code 90018."""


class MalformedCommandError(InvalidCommandError):
    """A command has a wrong field, as the gateway found itself: nothing was sent.

    Attributes:
        errors: What is wrong, each in the shape of Telnyx's errors: `code`, `title`, `detail`, `source`, `meta`.
    """

    def __init__(self, action: str, errors: list[dict[str, Any]]) -> None:
        code, title, detail = (errors[0][name] for name in ("code", "title", "detail"))
        where = errors[0].get("source", {}).get("pointer", "body")
        super().__init__(
            f"{action}: {where}: {detail}", status=422, code=code, title=title, detail=detail, errors=errors
        )


class RateLimitError(ControlError):
    """Telnyx answered 429 to the last, or the gateway's own limit leaves no room within the command's time."""


class UnavailableError(ControlError):
    """Telnyx's API failed or did not answer; the command may have acted all the same."""


class CircuitOpenError(UnavailableError):
    """The command was not sent: Telnyx's API has failed too often just now."""
