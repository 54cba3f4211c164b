"""Two legs that hear each other, and what becomes of one when the other goes."""

from gateway.simulator.call import SimulatedCall
from gateway.simulator.ending import cleared_by
from gateway.simulator.journal import Inlet, Journal
from gateway.simulator.leg import LegState
from gateway.simulator.line import Line

__all__ = ["Bridge", "bridge_when_answered"]


def bridge_when_answered(call: SimulatedCall, other: SimulatedCall) -> None:
    """Bridge two calls as soon as both are answered; an incoming one that is not is answered by it."""
    legs = (call, other)
    if any(one.leg.state is LegState.ENDED for one in legs):
        return
    for one in legs:
        if one.leg.state is LegState.DIALING:
            one.on_answered.append(lambda: bridge_when_answered(call, other))
            return
    for one in legs:
        if one.leg.state is LegState.PARKED:
            one.answer()
    if call.bridge is None or call.bridge is not other.bridge:
        Bridge(call, other)


class Bridge:
    """What is said on one leg is heard on the other. Either leaves the bridge that it had before."""

    def __init__(self, call: SimulatedCall, other: SimulatedCall) -> None:
        for one in (call, other):
            if one.bridge is not None:
                one.bridge.leave(one)
        self._legs = (call, other)
        self._crossings = (_Crossing(call.line, other.journal), _Crossing(other.line, call.journal))
        for one in self._legs:
            one.bridge = self
            one.timeline.note("call", state="bridged", bridged_with=self.other(one).leg.call_control_id)
            one.tell("call.bridged", one.leg.parties())

    def other(self, call: SimulatedCall) -> SimulatedCall:
        """The leg at the other end."""
        return self._legs[0] if call is self._legs[1] else self._legs[1]

    def leave(self, call: SimulatedCall) -> None:
        """One leg goes elsewhere; the other is hung up, if it was not to be parked."""
        other = self.other(call)
        call.bridge = other.bridge = None
        for crossing in self._crossings:
            crossing.stop()
        if other.parks:
            other.timeline.note("call", state="parked after the bridge")
        else:
            other.hang_up(cleared_by(other.leg.own_side))


class _Crossing:
    """The sound of one leg on its way into the other's ear."""

    def __init__(self, line: Line, journal: Journal) -> None:
        self._line = line
        self._hear = Inlet(journal).hear
        line.listen(self._hear)

    def stop(self) -> None:
        self._line.leave(self._hear)
