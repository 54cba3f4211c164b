"""How far a leg has come, and which command it may be given."""

import re
from typing import Any

import pytest

from gateway.protocol.commands import COMMANDS
from gateway.simulator import ending
from gateway.simulator.leg import Leg, LegState, iso_time
from gateway.simulator.refusal import Refusal
from gateway.simulator.switches import Switches

STREAM = "0A6B0C9C-77A1-4F43-9C55-1F3F4C1D2E10"


def incoming(state: LegState = LegState.PARKED) -> Leg:
    leg = Leg(from_="+15550100001", to="+15550100002", connection_id="1684", now=1000.0)
    if state is not LegState.PARKED:
        leg.answer()
    if state is LegState.ENDED:
        leg.end(ending.cleared_by("caller"), now=1002.0)
    return leg


def outgoing(state: LegState = LegState.DIALING) -> Leg:
    leg = Leg(from_="+15550100002", to="+15550100001", connection_id="1684", now=1000.0, direction="outgoing")
    if state is LegState.ANSWERED:
        leg.answer()
    return leg


def refusal(leg: Leg, action: str) -> str:
    """The code of the refusal; empty if there is none."""
    try:
        leg.check(action)
    except Refusal as error:
        return error.code
    return ""


ANSWERABLE = sorted(
    set(COMMANDS) - {"dial", "answer", "reject", "hangup", "client_state_update", "streaming_stop", "fork_stop"}
)


@pytest.mark.parametrize("action", ANSWERABLE)
def test_nearly_every_command_waits_for_the_answer(action: str) -> None:
    early = "" if action in ("bridge", "transfer") else "90034"
    assert refusal(incoming(), action) == early
    assert refusal(outgoing(), action) == "90034"
    assert refusal(incoming(LegState.ANSWERED), action) == refusal(outgoing(LegState.ANSWERED), action) == ""


@pytest.mark.parametrize("action", COMMANDS)
def test_no_command_comes_after_the_end(action: str) -> None:
    assert refusal(incoming(LegState.ENDED), action) == "90018"


@pytest.mark.parametrize(
    ("leg", "action", "code"),
    [
        (incoming(), "answer", ""),
        (incoming(), "reject", ""),
        (incoming(), "hangup", ""),
        (incoming(), "client_state_update", ""),
        (incoming(LegState.ANSWERED), "answer", "10027"),
        (incoming(LegState.ANSWERED), "reject", "10027"),
        (incoming(LegState.ANSWERED), "hangup", ""),
        (incoming(LegState.ANSWERED), "streaming_stop", "90048"),
        (incoming(LegState.ANSWERED), "fork_stop", "90031"),
        (outgoing(), "answer", "90102"),
        (outgoing(), "reject", "10027"),
        (outgoing(), "hangup", ""),
        (outgoing(), "client_state_update", ""),
        (outgoing(LegState.ANSWERED), "answer", "90102"),
    ],
)
def test_a_command_out_of_season_is_refused(leg: Leg, action: str, code: str) -> None:
    state = leg.state
    assert refusal(leg, action) == code
    assert leg.state is state


def test_one_stream_at_a_time_and_only_that_one_is_stopped() -> None:
    leg = incoming(LegState.ANSWERED)
    leg.stream_id = STREAM
    assert refusal(leg, "streaming_start") == "90045"
    assert refusal(leg, "streaming_stop") == ""
    leg.check_stream_id(None)
    leg.check_stream_id(STREAM)
    with pytest.raises(Refusal) as caught:
        leg.check_stream_id(STREAM[:-1] + "1")
    assert caught.value.code == "90048"


def streaming_leg(**switches: Any) -> Leg:
    leg = Leg(from_="+1", to="+2", connection_id="1", now=0.0, switches=Switches(**switches))
    leg.answer()
    leg.stream_id = STREAM
    return leg


def test_what_a_stream_keeps_out_is_a_switch() -> None:
    assert refusal(streaming_leg(), "fork_start") == ""
    assert refusal(streaming_leg(fork_while_streaming="refuse"), "fork_start") == "90045"
    assert refusal(streaming_leg(second_stream="replace"), "streaming_start") == ""


def test_a_fork_is_stopped_by_its_type() -> None:
    leg = incoming(LegState.ANSWERED)
    leg.forked = "decrypted"
    assert refusal(leg, "fork_stop") == ""
    assert refusal(leg, "fork_start") == "10027"
    leg.check_fork_type("decrypted")
    with pytest.raises(Refusal, match="'raw'"):
        leg.check_fork_type("raw")


def test_ids_look_like_the_real_ones() -> None:
    leg, other = incoming(), incoming()
    assert re.fullmatch(r"v3:[A-Za-z0-9_-]{54}", leg.call_control_id)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", leg.call_leg_id)
    assert leg.call_control_id != other.call_control_id
    assert leg.call_session_id != other.call_session_id


def test_a_leg_may_belong_to_the_session_of_another() -> None:
    leg = Leg(from_="a", to="b", connection_id="1", now=0.0, call_session_id=incoming().call_session_id)
    assert leg.call_payload()["call_session_id"] == leg.call_session_id != incoming().call_session_id


def test_the_words_of_the_payload_follow_the_state() -> None:
    payload = incoming().initiated_payload()
    assert (payload["direction"], payload["state"], payload["caller_id_name"]) == ("incoming", "parked", "+15550100001")
    assert (payload["from"], payload["to"], payload["client_state"]) == ("+15550100001", "+15550100002", None)
    payload = outgoing().initiated_payload()
    assert (payload["direction"], payload["state"]) == ("outgoing", "bridging")
    payload = incoming(LegState.ANSWERED).call_payload()
    assert payload["state"] == "answered"
    assert "hangup_cause" not in payload


def test_the_first_ending_stays() -> None:
    leg = incoming(LegState.ENDED)
    leg.end(ending.TIMEOUT, now=2000.0)
    payload = leg.call_payload()
    assert (payload["hangup_cause"], payload["hangup_source"], payload["sip_hangup_cause"]) == (
        "normal_clearing",
        "caller",
        "200",
    )
    assert payload["end_time"] == iso_time(1002.0) == "1970-01-01T00:16:42.000000Z"
    status = leg.status(now=3000.0)
    assert (status["is_alive"], status["call_duration"], status["end_time"]) == (False, 2, payload["end_time"])


def test_while_it_lives_it_has_no_end_time() -> None:
    status = incoming().status(now=1007.9)
    assert (status["is_alive"], status["call_duration"], status["record_type"]) == (True, 7, "call")
    assert "end_time" not in status
    assert set(incoming().active(now=1000.0)) == {
        "record_type",
        "call_control_id",
        "call_leg_id",
        "call_session_id",
        "client_state",
        "call_duration",
    }


def test_custom_headers_and_a_display_name_reach_the_application() -> None:
    leg = incoming()
    assert "custom_headers" not in leg.initiated_payload()
    leg.custom_headers = [{"name": "X-Customer", "value": "42"}]
    leg.caller_id_name = "Somebody"
    payload = leg.initiated_payload()
    assert (payload["custom_headers"], payload["caller_id_name"]) == (leg.custom_headers, "Somebody")
