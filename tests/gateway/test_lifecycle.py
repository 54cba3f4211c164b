import itertools
import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lifecycle import (
    MAX_STREAM_FAILURES,
    AnswerAccepted,
    Answered,
    AnswerRefused,
    CallLifecycle,
    CallState,
    Dialled,
    Fact,
    HungUp,
    Initiated,
    MediaSocket,
    Parties,
    SocketStage,
    StreamingFailed,
    StreamingReported,
    StreamRefused,
    StreamRequested,
)


def opened(socket: str = "one") -> MediaSocket:
    return MediaSocket(socket, SocketStage.CONNECTED)


def started(socket: str = "one", stream_id: str = "S1") -> MediaSocket:
    return MediaSocket(socket, SocketStage.STARTED, stream_id)


def stopped(socket: str = "one", stream_id: str = "S1") -> MediaSocket:
    return MediaSocket(socket, SocketStage.STOPPED, stream_id)


def stored(socket: str = "one", stream_id: str = "S1") -> MediaSocket:
    return MediaSocket(socket, SocketStage.STORED, stream_id)


def abandoned(socket: str = "one") -> MediaSocket:
    return MediaSocket(socket, SocketStage.ABANDONED)


def reported(what: str, event_id: str = "") -> StreamingReported:
    assert what in ("started", "stopped")
    return StreamingReported(event_id or what, what)  # type: ignore[arg-type]


def life(*facts: Fact) -> CallLifecycle:
    call = CallLifecycle()
    for at, fact in enumerate(facts):
        call.tell(fact, now=float(at))
    return call


INCOMING: tuple[Fact, ...] = (
    Initiated("incoming"),
    Parties("+15550100001", "+15550100002"),
    AnswerAccepted(),
    Answered(),
    StreamRequested("r1"),
    reported("started"),
    opened(),
    started(),
    reported("stopped"),
    stopped(),
    HungUp("normal_clearing"),
    stored(),
)
S = CallState


# --- one fact after the other ---------------------------------------------------------------------------------------


def test_a_life_in_its_usual_order() -> None:
    call = CallLifecycle()
    told = [(Dialled(), S.DIALLED), *zip(INCOMING, INCOMING_STATES, strict=True)]
    for at, (fact, state) in enumerate(told):
        assert call.tell(fact, now=float(at))
        assert call.state is state, fact
    assert call.reached() == {
        S.DIALLED: 0.0,
        S.RINGING: 1.0,
        S.ANSWERED: 4.0,
        S.STREAM_REQUESTED: 5.0,
        S.STREAMING: 6.0,
        S.CONNECTED: 7.0,
        S.STOPPED: 9.0,
        S.ENDED: 11.0,
        S.STORED: 12.0,
    }
    assert list(call.reached()) == sorted(call.reached())
    assert (call.direction, call.hangup_cause) == ("incoming", "normal_clearing")
    assert (call.from_, call.to) == ("+15550100001", "+15550100002")


INCOMING_STATES = (
    S.RINGING,
    S.RINGING,
    S.RINGING,
    S.ANSWERED,
    S.STREAM_REQUESTED,
    S.STREAMING,  # as long as only Telnyx has told of a stream, that is what there is
    S.STREAMING,
    S.STREAMING,
    S.STREAMING,  # the socket knows better
    S.STOPPED,
    S.ENDED,
    S.STORED,
)


def test_a_call_of_which_nothing_was_told_is_only_dialled() -> None:
    call = life()
    assert (call.state, call.direction, call.hangup_cause, call.from_, call.to) == (S.DIALLED, None, None, None, None)
    assert (call.reached(), call.sockets_open, call.wants_answer, call.wants_stream) == ({}, [], False, False)


def test_what_is_told_twice_is_no_news_and_keeps_its_first_time() -> None:
    call = life(Answered())
    assert not call.tell(Answered(), now=9.0)
    assert call.facts == {Answered(): 0.0}


def test_the_first_sign_of_a_state_is_when_it_was_reached() -> None:
    assert life(started(), reported("started")).reached() == {S.STREAMING: 0.0}


# --- whichever comes first ------------------------------------------------------------------------------------------


@given(st.permutations(INCOMING * 2))
def test_in_any_order_and_doubled_the_same_facts_lead_to_the_same_state(facts: list[Fact]) -> None:
    call = life(*facts)
    assert call.state is S.STORED
    assert call.facts.keys() == set(INCOMING)
    assert set(call.reached()) == set(S) - {S.DIALLED}
    assert not call.wants_answer
    assert not call.wants_stream


ALL_FACTS: tuple[Fact, ...] = (
    *INCOMING,
    Dialled(),
    Initiated("outgoing"),
    AnswerRefused(),
    HungUp(None),
    HungUp("timeout"),
    StreamRequested("r2"),
    StreamRefused("r2"),
    StreamingFailed("S0"),
    StreamingFailed("S1"),
    reported("started", "other"),
    opened("two"),
    abandoned("two"),
    started("three", "S3"),
    stopped("three", "S3"),
)


@given(st.lists(st.sampled_from(ALL_FACTS)), st.randoms())
def test_whatever_the_facts_are_their_order_does_not_matter(facts: list[Fact], chance: random.Random) -> None:
    shuffled = [*facts, *facts]
    chance.shuffle(shuffled)
    one, other = life(*facts), life(*shuffled)
    assert everything(one) == everything(other)


def everything(call: CallLifecycle) -> tuple[object, ...]:
    return (
        *(call.state, call.direction, call.hangup_cause, call.wants_answer, call.wants_stream),
        *(sorted(call.reached()), sorted(socket.socket for socket in call.sockets_open)),
    )


def test_every_order_of_the_beginning_is_streaming() -> None:
    beginning: list[Fact] = [Initiated("incoming"), Answered(), StreamRequested("r1"), opened(), started()]
    for facts in itertools.permutations([*beginning, reported("started")]):
        assert life(*facts).state is S.STREAMING


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ([HungUp()], S.ENDED),
        ([stored(), HungUp()], S.STORED),
        ([stored()], S.STOPPED),
        ([stored(), started("two", "S2"), HungUp()], S.ENDED),
        ([stored(), stopped("two", "S2"), HungUp()], S.ENDED),
        ([stored(), stored("two", "S2"), HungUp()], S.STORED),
        ([stored(), abandoned("two"), HungUp()], S.STORED),
        ([abandoned(), HungUp()], S.ENDED),
        ([Answered(), opened()], S.CONNECTED),
        ([Answered(), opened(), abandoned()], S.ANSWERED),
        ([Answered(), abandoned(), opened()], S.ANSWERED),
        ([opened()], S.CONNECTED),
        ([stopped(), started("two", "S2")], S.STREAMING),
        ([stopped(), opened("two")], S.CONNECTED),
        ([reported("stopped")], S.DIALLED),
        ([reported("stopped"), reported("started")], S.STOPPED),
        ([reported("started", "1"), reported("stopped", "2"), reported("started", "3")], S.STREAMING),
        ([started(), reported("stopped")], S.STREAMING),
        ([Answered(), StreamRequested("r1"), StreamRefused("r1")], S.ANSWERED),
        ([Answered(), StreamRequested("r1"), StreamingFailed("S0")], S.ANSWERED),
        ([Answered(), StreamRequested("r1"), StreamingFailed("S0"), StreamRequested("r2")], S.STREAM_REQUESTED),
        ([Answered(), StreamRequested("r1"), stopped(), StreamRequested("r2")], S.STREAM_REQUESTED),
        ([Answered(), StreamRequested("r1"), stopped(), StreamingFailed("S1")], S.STOPPED),
        ([Answered(), StreamRequested("r1"), stopped(), StreamingFailed("S1"), StreamRequested("r2")],
         S.STREAM_REQUESTED),
    ],
)  # fmt: skip
def test_the_state_of_some_facts(facts: list[Fact], state: CallState) -> None:
    assert life(*facts).state is state
    assert life(*reversed(facts)).state is state


# --- what is to be done ---------------------------------------------------------------------------------------------


def test_an_incoming_call_wants_an_answer_until_there_is_one_or_there_can_be_none() -> None:
    assert life(Initiated("incoming")).wants_answer
    for fact in (AnswerAccepted(), AnswerRefused(), Answered(), HungUp(), opened()):
        assert not life(Initiated("incoming"), fact).wants_answer
    for direction in ("outgoing", None, "sideways"):
        assert not life(Initiated(direction)).wants_answer


def test_an_answered_call_wants_one_stream() -> None:
    assert life(Answered()).wants_stream
    for fact in (StreamRequested("r1"), reported("started"), opened(), started(), stopped(), HungUp()):
        assert not life(Answered(), fact).wants_stream
    assert not life(Initiated("incoming")).wants_stream
    assert not life(Answered(), StreamRequested("r1"), StreamRefused("r1")).wants_stream


def test_a_socket_that_closed_without_a_stream_leaves_the_request_open() -> None:
    assert not life(Answered(), StreamRequested("r1"), opened(), abandoned()).wants_stream


def test_a_stream_that_failed_is_wanted_again_and_again_until_too_many_have() -> None:
    call = life(Answered())
    for number in range(MAX_STREAM_FAILURES):
        assert call.wants_stream, number
        call.tell(StreamRequested(f"r{number}"), now=0.0)
        assert not call.wants_stream
        call.tell(StreamingFailed(f"F{number}"), now=0.0)
    assert call.streams_requested == call.streams_failed == MAX_STREAM_FAILURES
    assert not call.wants_stream


def test_a_stream_that_fell_is_wanted_again_one_that_was_ended_is_not() -> None:
    assert life(Answered(), StreamRequested("r1"), stopped(), StreamingFailed("S1")).wants_stream
    again = (Answered(), StreamRequested("r1"), StreamingFailed("S0"), StreamRequested("r2"))
    assert not life(*again, started()).wants_stream
    assert not life(*again, stopped()).wants_stream


def test_a_failed_stream_that_somebody_else_asked_for_is_wanted_as_well() -> None:
    assert life(Answered(), StreamingFailed("S0")).wants_stream


def test_the_sockets_that_are_open_are_told_with_what_they_have_come_to() -> None:
    call = life(opened("a"), started("b", "B"), opened("b"), stopped("c"), opened("c"), opened("d"), abandoned("d"))
    assert {(fact.socket, fact.stage) for fact in call.sockets_open} == {
        ("a", SocketStage.CONNECTED),
        ("b", SocketStage.STARTED),
    }


# --- bounds, and keeping --------------------------------------------------------------------------------------------


def test_of_a_call_of_which_far_too_much_is_told_only_the_end_is_heard() -> None:
    call = life(opened(), started())
    for number in range(10_000):
        call.tell(reported("started", str(number)), now=0.0)
    assert len(call.facts) == 400
    assert not call.tell(opened("another"), now=0.0)
    assert all(call.tell(fact, now=0.0) for fact in (stopped(), stored(), HungUp()))
    assert call.state is S.STORED


@given(st.lists(st.tuples(st.sampled_from(ALL_FACTS), st.floats(0, 1e9)), unique_by=lambda told: told[0]))
def test_facts_can_be_kept_as_json_and_taken_back(told: Iterable[tuple[Fact, float]]) -> None:
    call = CallLifecycle(told)
    kept = msgspec.json.encode(list(call.facts.items()))
    again = CallLifecycle(msgspec.json.decode(kept, type=list[tuple[Fact, float]]))
    assert again.facts == call.facts
    assert everything(again) == everything(call)
