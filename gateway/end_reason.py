"""Why a call's stream ended: one word for the close code, the log, the counters and the record."""

import enum

__all__ = ["EndReason"]


class EndReason(enum.StrEnum):
    """Why a stream ended."""

    STOP = "stop"
    LINK_LOST = "link_lost"
    PROTOCOL_ERROR = "protocol_error"
    UNSUPPORTED_CODEC = "unsupported_codec"
    NOT_ADMITTED = "not_admitted"
    NO_START = "no_start"
    OVERLOADED = "overloaded"
    MAX_DURATION = "max_duration"
    REPLACED = "replaced"
    SHUTDOWN = "shutdown"
    INTERNAL_ERROR = "internal_error"
