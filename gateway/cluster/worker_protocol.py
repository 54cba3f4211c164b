"""What a supervisor and its workers say to each other, over a pipe that each worker inherits."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.cluster.slot import WorkerSlot
from gateway.config import Settings

__all__ = ["Order", "Ready", "Refused", "Setup"]

Order: TypeAlias = Literal["drain", "end"]
"""Let running calls end by themselves, or end them; then the worker ends. The end of the pipe means `drain`."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The first that a worker is told. It holds secrets, so it stands neither among its arguments nor its environment.

    Attributes:
        slot: Which worker it is.
        settings: Of all of them, with the numbers of the ports.
    """

    slot: WorkerSlot
    settings: Settings


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker takes calls.

    Attributes:
        media_url: What Telnyx is told.
        http_url: Where webhooks and the API come in.
    """

    media_url: str
    http_url: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker cannot start, and ends; `reason` is for the operator."""

    reason: str
