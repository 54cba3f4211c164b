"""What everything that carries a leg's sound away needs of its call."""

from dataclasses import dataclass

from gateway.simulator.clock import Clock
from gateway.simulator.faults import FaultBook
from gateway.simulator.journal import Journal
from gateway.simulator.line import Line
from gateway.simulator.media_faults import Note
from gateway.simulator.switches import Switches

__all__ = ["MediaSide"]


@dataclass(frozen=True, slots=True)
class MediaSide:
    """One leg, seen from its media.

    Attributes:
        line: What is said on the leg.
        journal: Where everything is kept.
        clock: Of the simulator.
        switches: What Telnyx does not document.
        book: Which faults are in force.
        note: Told of each fault: its family, its name and its fields.
    """

    call_control_id: str
    line: Line
    journal: Journal
    clock: Clock
    switches: Switches
    book: FaultBook
    note: Note
