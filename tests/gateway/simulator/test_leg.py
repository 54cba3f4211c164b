"""Which command a leg takes, and when."""

import re

import pytest

from gateway.protocol.commands import Answer, Command, Hangup, StreamingStart, StreamingStop
from gateway.simulator.leg import Leg, LegState, iso_time
from gateway.simulator.refusal import Refusal

URL = "ws://127.0.0.1/media"


def make_leg(state: LegState = LegState.PARKED) -> Leg:
    leg = Leg(from_="+15550100001", to="+15550100002", connection_id="1684", now=1000.0)
    if state is not LegState.PARKED:
        leg.receive_command(Answer(), now=1001.0)
    if state is LegState.ENDED:
        leg.end("normal_clearing", "caller", now=1002.0)
    return leg


@pytest.mark.parametrize(
    ("state", "stream_id", "command", "code"),
    [
        (LegState.PARKED, None, StreamingStart(stream_url=URL), "90034"),
        (LegState.PARKED, None, StreamingStop(), "90034"),
        (LegState.ANSWERED, None, Answer(), "10027"),
        (LegState.ANSWERED, None, StreamingStop(), "90048"),
        (LegState.ANSWERED, "0A6B0C9C-77A1-4F43-9C55-1F3F4C1D2E10", StreamingStart(stream_url=URL), "90045"),
        (
            LegState.ANSWERED,
            "0A6B0C9C-77A1-4F43-9C55-1F3F4C1D2E10",
            StreamingStop(stream_id="0A6B0C9C-77A1-4F43-9C55-1F3F4C1D2E11"),
            "90048",
        ),
        (LegState.ENDED, None, Answer(), "90018"),
        (LegState.ENDED, None, Hangup(), "90018"),
        (LegState.ENDED, None, StreamingStart(stream_url=URL), "90018"),
    ],
)
def test_a_command_out_of_season_is_refused(
    state: LegState, stream_id: str | None, command: Command, code: str
) -> None:
    leg = make_leg(state)
    leg.stream_id = stream_id
    with pytest.raises(Refusal) as caught:
        leg.receive_command(command, now=1003.0)
    assert (caught.value.status, caught.value.code) == (422, code)
    assert leg.state is state


def test_a_duplicate_within_a_minute_is_ignored_and_later_it_is_not() -> None:
    leg = make_leg()
    assert leg.receive_command(Answer(command_id="a"), now=1000.0)
    assert not leg.receive_command(Answer(command_id="a"), now=1059.9)
    with pytest.raises(Refusal):
        leg.receive_command(Answer(command_id="a"), now=1060.0)


def test_the_command_id_of_a_refused_command_is_not_remembered() -> None:
    leg = make_leg()
    for _ in range(2):
        with pytest.raises(Refusal):
            leg.receive_command(StreamingStop(command_id="a"), now=1000.0)


def test_a_client_state_stays_until_a_command_brings_another() -> None:
    leg = make_leg()
    assert leg.call_payload()["client_state"] is None
    leg.receive_command(Answer(client_state="YQ=="), now=1000.0)
    leg.receive_command(StreamingStart(stream_url=URL), now=1000.0)
    assert leg.call_payload()["client_state"] == "YQ=="


def test_ids_look_like_the_real_ones() -> None:
    leg, other = make_leg(), make_leg()
    assert re.fullmatch(r"v3:[A-Za-z0-9_-]{54}", leg.call_control_id)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", leg.call_leg_id)
    assert leg.call_control_id != other.call_control_id


def test_the_first_cause_of_a_hangup_stays() -> None:
    leg = make_leg(LegState.ENDED)
    leg.end("timeout", "unknown", now=2000.0)
    payload = leg.call_payload()
    assert (payload["hangup_cause"], payload["hangup_source"]) == ("normal_clearing", "caller")
    assert payload["end_time"] == iso_time(1002.0) == "1970-01-01T00:16:42.000000Z"
    status = leg.status(now=3000.0)
    assert (status["is_alive"], status["call_duration"]) == (False, 2)
