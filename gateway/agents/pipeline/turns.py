"""Whose turn it is: when the caller has finished, and whether the caller, heard over the agent, means to interrupt.

Pure: what happens goes in with its time, what is to be done comes out.

    LISTENING --speech--> CALLER --silence--> BREATH --`end_of_turn` s--> AGENT     END_OF_TURN
                             ^---speech---------'                           |
        ^------------------- the agent has finished ------------------------+
                                                                            | speech: PAUSE
    AGENT  <--silence: RESUME--  DOUBT  <-----------------------------------'
    CALLER <--`interrupt_after` s of it, or words: INTERRUPT--  DOUBT

What is heard over the agent makes it fall silent at once, and only then is decided what it was. A cough is over before
`interrupt_after`: the agent goes on where it was. Words that come late, after the agent has gone on, still interrupt.
A caller who never stops, such as a radio, has a turn of `longest` seconds.
"""

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["Action", "Floor", "TurnTaking"]


class Floor(Enum):
    """Who has it."""

    LISTENING = auto()
    CALLER = auto()
    BREATH = auto()
    AGENT = auto()
    DOUBT = auto()


class Action(Enum):
    """What is to be done, at once."""

    PAUSE = auto()
    RESUME = auto()
    INTERRUPT = auto()
    END_OF_TURN = auto()


@dataclass(slots=True, kw_only=True)
class TurnTaking:
    """The turns of one conversation. Times are seconds on a clock of the caller's choice.

    Attributes:
        end_of_turn: After the end of a stretch of speech, how long until the caller's turn is over.
        interrupt_after: After the beginning of speech over the agent, how long until it is an interruption.
        longest: A turn of the caller.
        floor: Who speaks.
    """

    end_of_turn: float
    interrupt_after: float
    longest: float
    floor: Floor = Floor.LISTENING
    _deadline: float | None = None

    def deadline(self) -> float | None:
        """When to call `handle_deadline`; None while nothing is to be waited for."""
        return self._deadline

    def speech_started(self, *, now: float) -> Action | None:
        """The caller began to speak."""
        match self.floor:
            case Floor.LISTENING | Floor.BREATH:
                self._go(Floor.CALLER, now + self.longest)
            case Floor.AGENT:
                self._go(Floor.DOUBT, now + self.interrupt_after)
                return Action.PAUSE
        return None

    def speech_ended(self, *, now: float) -> Action | None:
        """The caller fell silent."""
        match self.floor:
            case Floor.CALLER:
                self._go(Floor.BREATH, now + self.end_of_turn)
            case Floor.DOUBT:
                self._go(Floor.AGENT)
                return Action.RESUME
        return None

    def words_heard(self, *, now: float) -> Action | None:
        """The caller has said something that has words, before now."""
        match self.floor:
            case Floor.DOUBT:
                self._go(Floor.CALLER, now + self.longest)
            case Floor.AGENT:
                self._go(Floor.BREATH, now + self.end_of_turn)
            case Floor.LISTENING:  # too faint for the detector, and yet understood
                self._go(Floor.BREATH, now + self.end_of_turn)
                return None
            case _:
                return None
        return Action.INTERRUPT

    def agent_began(self) -> None:
        """The agent speaks first, or of its own accord."""
        self._go(Floor.AGENT)

    def agent_finished(self, *, now: float) -> Action | None:
        """The agent has nothing more to say."""
        match self.floor:
            case Floor.AGENT:
                self._go(Floor.LISTENING)
            case Floor.DOUBT:  # over nothing: there is nothing to interrupt
                self._go(Floor.CALLER, now + self.longest)
                return Action.RESUME
        return None

    def handle_deadline(self, *, now: float) -> Action | None:
        """Time has passed; does nothing before the deadline."""
        if self._deadline is None or now < self._deadline:
            return None
        if self.floor is Floor.DOUBT:
            self._go(Floor.CALLER, now + self.longest)
            return Action.INTERRUPT
        self._go(Floor.AGENT)
        return Action.END_OF_TURN

    def _go(self, floor: Floor, deadline: float | None = None) -> None:
        self.floor, self._deadline = floor, deadline
