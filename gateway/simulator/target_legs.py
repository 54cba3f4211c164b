"""Who hears what an application sends: the leg of its stream, the other one of the bridge, or both."""

from typing import TYPE_CHECKING

from audio_codecs import Samples
from gateway.simulator.journal import Inlet, Journal
from gateway.simulator.stream_plan import TargetLegs
from gateway.simulator.switches import Switches

if TYPE_CHECKING:
    from gateway.simulator.call import SimulatedCall

__all__ = ["LegSpeakers"]


class LegSpeakers:
    """Puts the sound of one stream into the ears that it is for, as the bridge is at that moment.

    Args:
        call: Whose stream it is.
        target_legs: As the command says it.
        switches: Say what `opposite` means where there is no other leg.
    """

    def __init__(self, call: "SimulatedCall", target_legs: TargetLegs, switches: Switches) -> None:
        self._call = call
        self._target_legs = target_legs
        self._alone_heard = switches.opposite_alone == "heard"
        self._inlets: dict[Journal, Inlet] = {}

    def hear(self, samples: Samples, at: float) -> None:
        """Take sound that is heard at a time of the simulator's clock."""
        for journal in self._ears():
            inlet = self._inlets.get(journal)
            if inlet is None:
                inlet = self._inlets[journal] = Inlet(journal)
            inlet.hear(samples, at)

    def _ears(self) -> tuple[Journal, ...]:
        call = self._call
        if call.bridge is None:
            return (call.journal,) if self._target_legs != "opposite" or self._alone_heard else ()
        other = call.bridge.other(call).journal
        return {"self": (call.journal,), "opposite": (other,), "both": (call.journal, other)}[self._target_legs]
