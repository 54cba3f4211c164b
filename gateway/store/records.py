"""What is handed to the store and comes back from it."""

from typing import NamedTuple

__all__ = ["CommandRecord", "Forward", "KeptWebhook"]


class KeptWebhook(NamedTuple):
    """A webhook that was answered and not handled to its end."""

    seq: int
    event_id: str
    received_at: float  # Unix time
    attempts: int  # processes that have begun to handle it
    body: bytes


class CommandRecord(NamedTuple):
    """What became of a command; never its body, which may hold tokens."""

    command_id: str | None  # None for the three commands that have none
    call_control_id: str | None  # None for a dial that was refused
    action: str
    sent_at: float  # Unix time
    seconds: float  # until its last answer
    attempts: int
    status: int  # HTTP status, 0 where no answer came
    code: str  # Telnyx's error code, empty where it was taken


class Forward(NamedTuple):
    """A webhook that waits to be delivered to the user's own program."""

    seq: int
    event_id: str
    line: str  # those of the same line are delivered one after the other
    received_at: float  # Unix time
    body: bytes
