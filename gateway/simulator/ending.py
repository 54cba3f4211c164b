"""How a leg can end: the words of `call.hangup`.

Telnyx documents the words and few of their combinations; what it does not say about who is the source, and about the
SIP code, follows RFC 3261: the code that the leg's INVITE was answered with, 487 where it was cancelled.
"""

from typing import Final, NamedTuple

__all__ = [
    "BUSY",
    "CANCELLED",
    "LOST",
    "NOT_FOUND",
    "NO_ANSWER",
    "REJECTED",
    "REJECT_CAUSES",
    "TIMEOUT",
    "TIME_LIMIT",
    "UNAVAILABLE",
    "Ending",
    "cleared_by",
]


class Ending(NamedTuple):
    """Why a leg ended.

    Attributes:
        cause: `hangup_cause`.
        source: `hangup_source`: `caller`, `callee` or `unknown`.
        sip: `sip_hangup_cause`: a SIP status, or `unspecified`.
    """

    cause: str
    source: str
    sip: str


REJECTED: Final = Ending("call_rejected", "callee", "603")
BUSY: Final = Ending("user_busy", "callee", "486")
NOT_FOUND: Final = Ending("not_found", "callee", "404")
UNAVAILABLE: Final = Ending("unspecified", "callee", "480")
NO_ANSWER: Final = Ending("no_answer", "callee", "480")
CANCELLED: Final = Ending("originator_cancel", "caller", "487")
TIMEOUT: Final = Ending("timeout", "unknown", "487")
TIME_LIMIT: Final = Ending("time_limit", "unknown", "200")
LOST: Final = Ending("unspecified", "unknown", "unspecified")

REJECT_CAUSES: Final = {
    "CALL_REJECTED": REJECTED,
    "USER_BUSY": BUSY,
    "NOT_FOUND": NOT_FOUND,
    "TEMPORARILY_UNAVAILABLE": UNAVAILABLE,
}
"""By the `cause` of a `reject`."""


def cleared_by(source: str) -> Ending:
    """The usual end of a call that was answered; `source` is who put the receiver down."""
    return Ending("normal_clearing", source, "200")
