"""Every exception of the gateway, as one tree, split by who broke what.

    GatewayError
        ConfigError                 a setting is wrong: say which and what would be right, do not start
        LocalProtocolError          our code used the protocol wrongly: a bug, let it surface
        RemoteProtocolError         the carrier broke the protocol: count it; too many close that stream
            UnsupportedCodecError   the stream announced a codec we cannot decode: close it with 1003
        SignatureError              a webhook cannot be trusted: answer 403
        AdmissionError              a media socket may not come in: refuse it, by its .reason
        SinkError                   a sink failed: stop that sink, keep the call
        ControlError                Call Control said no: has .status, .code and .retryable

Beside the tree stands `audio_codecs.CodecError`, as the codecs know nothing of the gateway: a payload cannot be
decoded; conceal the frame, count it.
"""

from typing import Literal

__all__ = [
    "AdmissionError",
    "ConfigError",
    "ControlError",
    "GatewayError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "SignatureError",
    "SinkError",
    "UnsupportedCodecError",
]


class GatewayError(Exception):
    """The root of everything the gateway raises on purpose."""


class ConfigError(GatewayError):
    """A setting is missing, unknown or out of range."""


class LocalProtocolError(GatewayError):
    """Our own code asked for something the protocol does not allow in this state."""


class RemoteProtocolError(GatewayError):
    """The other side sent something the protocol does not allow."""


class UnsupportedCodecError(RemoteProtocolError):
    """The stream announced a codec, rate or channel count that cannot be decoded here."""


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


class SinkError(GatewayError):
    """A sink failed; the call goes on without it."""


class ControlError(GatewayError):
    """A Call Control command was refused or could not be delivered.

    Attributes:
        status: HTTP status of the answer; 0 when there was none.
        code: Telnyx's error code, digits as text; empty when there was none.
        retryable: The same command may succeed later: 408, 429, 5xx, no answer.
    """

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = status in (0, 408, 429) or status >= 500
