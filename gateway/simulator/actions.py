"""What each command does: one function each, and the order in which a command is looked at.

A repetition is answered as the first one was. Then come the call's state, what is not simulated, and the command's own
conditions; nothing has changed until all of them hold. Which order Telnyx has is not documented.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from gateway.protocol.commands import (
    Answer,
    Bridge,
    ClientStateUpdate,
    Command,
    Dial,
    ForkStart,
    ForkStop,
    Hangup,
    Reject,
    StreamingStart,
    StreamingStop,
    Transfer,
)
from gateway.simulator.bridge import bridge_when_answered
from gateway.simulator.call import SimulatedCall
from gateway.simulator.ending import NO_ANSWER, REJECT_CAUSES, TIMEOUT
from gateway.simulator.exchange import Exchange
from gateway.simulator.fork import ForkPlan
from gateway.simulator.leg import LegState
from gateway.simulator.refusal import Refusal
from gateway.simulator.scope import not_simulated, refuse_unsimulated
from gateway.simulator.stream_plan import plan_stream

__all__ = ["dial", "execute"]

Result: TypeAlias = dict[str, Any]
"""The `data` of the answer."""

_Handler: TypeAlias = Callable[[Exchange, SimulatedCall, Any], None]


def execute(exchange: Exchange, call: SimulatedCall, command: Command) -> tuple[Result, bool]:
    """Carry a command out.

    Returns:
        What it is answered, and whether it was a repetition that did nothing.

    Raises:
        Refusal: It may not be given now, or is not simulated; nothing has changed.
    """
    now = exchange.clock.now()
    known = call.recent.result(command.command_id, now=now)
    if known is not None:
        return _repeated(exchange, known)
    call.leg.check(command.action)
    handler = _HANDLERS.get(type(command))
    if handler is None:
        raise not_simulated(f"the command {command.action!r}")
    refuse_unsimulated(command)
    before = call.leg.client_state
    if command.client_state is not None:
        call.leg.client_state = command.client_state
    try:
        handler(exchange, call, command)
    except Refusal:
        call.leg.client_state = before
        raise
    result: Result = {"result": "ok"}
    call.recent.remember(command.command_id, result, now=now)
    return result, False


def dial(exchange: Exchange, command: Dial) -> tuple[Result, bool]:
    """Call somebody.

    Returns:
        The new call's status, and whether it was a repetition that did nothing.

    Raises:
        Refusal: The call cannot be placed.
    """
    now = exchange.clock.now()
    known = exchange.recent_dials.result(command.command_id, now=now)
    if known is not None:
        return _repeated(exchange, known)
    refuse_unsimulated(command)
    to = command.to if isinstance(command.to, str) else command.to[0]
    if not isinstance(command.to, str) and len(command.to) > 1:
        raise not_simulated("calling several numbers at once", pointer="/to")
    if "," in to:
        raise not_simulated("digits that are dialled after the answer", pointer="/to")
    linked = None if command.link_to is None else _other(exchange, command.link_to, "/link_to")
    call = exchange.call_out(
        from_=command.from_ if linked is None or not command.bridge_intent else linked.leg.from_,
        to=to,
        connection_id=command.connection_id,
        options=command,
        route=exchange.account.route.by_command(command),
        session=linked,
        too_late=TIMEOUT if command.retry_on_timeout else NO_ANSWER,
        stream=plan_stream(command, exchange.account.switches),
        stream_first=command.stream_establish_before_call_originate,
    )
    call.leg.client_state = command.client_state
    call.parks = command.park_after_unbridge == "self"
    if linked is not None and command.bridge_on_answer:
        call.on_answered.append(lambda: _bridge_on_answer(call, linked, alone=command.prevent_double_bridge))
    # Dialling has only begun when Telnyx answers: it documents that the call is never alive then.
    result = call.leg.status(now=exchange.clock.unix()) | {"is_alive": False}
    exchange.recent_dials.remember(command.command_id, result, now=now)
    return result, False


def _repeated(exchange: Exchange, known: Result) -> tuple[Result, bool]:
    if exchange.account.switches.repeated_command == "refuse":
        raise Refusal(422, "10027", "This command_id came a moment ago.", pointer="/command_id")
    return known, True


def _answer(exchange: Exchange, call: SimulatedCall, command: Answer) -> None:
    plan = plan_stream(command, exchange.account.switches)
    call.route = call.route.by_command(command)
    if plan is None:
        call.answer()
    else:
        call.answer(stream_url=plan.url, stream_track=plan.track)
        call.start_stream(plan)


def _hangup(_: Exchange, call: SimulatedCall, __: Hangup) -> None:
    call.application_hangs_up()


def _reject(_: Exchange, call: SimulatedCall, command: Reject) -> None:
    call.hang_up(REJECT_CAUSES[command.cause])


def _bridge(exchange: Exchange, call: SimulatedCall, command: Bridge) -> None:
    assert command.call_control_id is not None  # the model wants one of three, and two are not simulated
    other = _other(exchange, command.call_control_id, "/call_control_id")
    if other is call:
        raise Refusal(422, "10027", "A call cannot be bridged with itself.", pointer="/call_control_id")
    if command.prevent_double_bridge and other.bridge is not None:
        raise Refusal(422, "10027", "The other call is bridged already.", pointer="/prevent_double_bridge")
    call.parks = command.park_after_unbridge == "self" or bool(command.hold_after_unbridge)
    bridge_when_answered(call, other)


def _transfer(exchange: Exchange, call: SimulatedCall, command: Transfer) -> None:
    if "," in command.to:
        raise not_simulated("digits that are dialled after the answer", pointer="/to")
    route = call.route.by_command(command)
    new = exchange.call_out(
        from_=command.from_ or call.leg.to,
        to=command.to,
        connection_id=call.leg.connection_id,
        options=command,
        route=route,
        session=call,
    )
    call.route = route
    call.parks = command.park_after_unbridge == "self"
    new.leg.client_state = command.target_leg_client_state
    new.on_answered.append(lambda: bridge_when_answered(call, new))
    call.on_ended.append(lambda: _give_up(new))


def _streaming_start(exchange: Exchange, call: SimulatedCall, command: StreamingStart) -> None:
    plan = plan_stream(command, exchange.account.switches)
    assert plan is not None
    call.start_stream(plan)


def _streaming_stop(_: Exchange, call: SimulatedCall, command: StreamingStop) -> None:
    call.leg.check_stream_id(command.stream_id)
    call.media.stop_stream()


def _fork_start(_: Exchange, call: SimulatedCall, command: ForkStart) -> None:
    assert command.rx is not None  # the model wants both
    assert command.tx is not None
    call.start_fork(ForkPlan(command.rx, command.tx, command.stream_type))


def _fork_stop(exchange: Exchange, call: SimulatedCall, command: ForkStop) -> None:
    if exchange.account.switches.fork_stop_type == "match":
        call.leg.check_fork_type(command.stream_type)
    call.media.stop_fork()


def _client_state_update(_: Exchange, __: SimulatedCall, ___: ClientStateUpdate) -> None:
    """Nothing but the state changes, and that is done for every command that brings one."""


def _other(exchange: Exchange, call_control_id: str, pointer: str) -> SimulatedCall:
    try:
        other = exchange.look_up(call_control_id)
    except Refusal as refusal:
        raise Refusal(422, "90015", "The provided call_control_id was not valid.", pointer=pointer) from refusal
    if other.leg.state is LegState.ENDED:
        raise Refusal(422, "90018", "The other call is no longer active.", pointer=pointer)
    return other


def _bridge_on_answer(call: SimulatedCall, linked: SimulatedCall, *, alone: bool) -> None:
    if alone and linked.bridge is not None:
        call.application_hangs_up()
    else:
        bridge_when_answered(call, linked)


def _give_up(call: SimulatedCall) -> None:
    if call.leg.state is LegState.DIALING:
        call.application_hangs_up()


_HANDLERS: Final[dict[type[Command], _Handler]] = {
    Answer: _answer,
    Bridge: _bridge,
    ClientStateUpdate: _client_state_update,
    ForkStart: _fork_start,
    ForkStop: _fork_stop,
    Hangup: _hangup,
    Reject: _reject,
    StreamingStart: _streaming_start,
    StreamingStop: _streaming_stop,
    Transfer: _transfer,
}
"""Every command that is simulated; to add one, write its function and name it here."""
