"""Whose turn it is; time is an argument."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.pipeline.turns import Action, Floor, TurnTaking


def turns() -> TurnTaking:
    return TurnTaking(end_of_turn=0.5, interrupt_after=0.6, longest=60.0)


def agent_speaks() -> TurnTaking:
    taking = turns()
    taking.agent_began()
    return taking


def test_a_turn_is_over_when_the_silence_has_lasted() -> None:
    taking = turns()
    assert taking.speech_started(now=1.0) is None
    assert taking.speech_ended(now=2.0) is None
    assert taking.deadline() == 2.5
    assert taking.handle_deadline(now=2.4) is None
    assert taking.handle_deadline(now=2.5) is Action.END_OF_TURN
    assert (taking.floor, taking.deadline()) == (Floor.AGENT, None)


def test_a_breath_does_not_end_a_turn() -> None:
    taking = turns()
    taking.speech_started(now=1.0)
    taking.speech_ended(now=2.0)
    taking.speech_started(now=2.4)
    assert taking.handle_deadline(now=2.5) is None
    taking.speech_ended(now=3.0)
    assert taking.handle_deadline(now=3.5) is Action.END_OF_TURN


def test_a_cough_pauses_and_then_the_agent_goes_on() -> None:
    taking = agent_speaks()
    assert taking.speech_started(now=1.0) is Action.PAUSE
    assert taking.speech_ended(now=1.5) is Action.RESUME
    assert (taking.floor, taking.deadline()) == (Floor.AGENT, None)


def test_speech_that_lasts_interrupts_and_its_turn_ends_as_any_other() -> None:
    taking = agent_speaks()
    assert taking.speech_started(now=1.0) is Action.PAUSE
    assert taking.deadline() == 1.6
    assert taking.handle_deadline(now=1.6) is Action.INTERRUPT
    taking.speech_ended(now=3.0)
    assert taking.handle_deadline(now=3.5) is Action.END_OF_TURN


def test_words_interrupt_before_the_time_has_passed() -> None:
    taking = agent_speaks()
    taking.speech_started(now=1.0)
    assert taking.words_heard(now=1.3) is Action.INTERRUPT
    assert taking.floor is Floor.CALLER
    assert taking.words_heard(now=1.4) is None


def test_words_that_come_after_the_agent_has_gone_on_still_interrupt() -> None:
    taking = agent_speaks()
    taking.speech_started(now=1.0)
    taking.speech_ended(now=1.4)
    assert taking.words_heard(now=1.7) is Action.INTERRUPT
    assert taking.handle_deadline(now=2.2) is Action.END_OF_TURN


def test_words_too_faint_for_the_detector_are_answered() -> None:
    taking = turns()
    assert taking.words_heard(now=1.0) is None
    assert taking.handle_deadline(now=1.5) is Action.END_OF_TURN


def test_when_the_agent_has_finished_the_caller_may_speak() -> None:
    taking = agent_speaks()
    assert taking.agent_finished(now=1.0) is None
    assert taking.floor is Floor.LISTENING
    assert taking.speech_started(now=2.0) is None


def test_an_agent_that_had_nothing_to_say_is_not_left_paused() -> None:
    taking = agent_speaks()
    taking.speech_started(now=1.0)
    assert taking.agent_finished(now=1.2) is Action.RESUME
    assert taking.floor is Floor.CALLER


def test_a_radio_has_a_turn_of_limited_length_and_then_no_other() -> None:
    taking = turns()
    taking.speech_started(now=1.0)
    assert taking.handle_deadline(now=61.0) is Action.END_OF_TURN
    assert taking.floor is Floor.AGENT


EVENTS: dict[str, Callable[[TurnTaking, float], Action | None]] = {
    "started": lambda taking, now: taking.speech_started(now=now),
    "ended": lambda taking, now: taking.speech_ended(now=now),
    "words": lambda taking, now: taking.words_heard(now=now),
    "finished": lambda taking, now: taking.agent_finished(now=now),
    "time": lambda taking, now: taking.handle_deadline(now=now),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.floats(0, 2)), max_size=60))
def test_whatever_happens_nothing_stays_paused_and_nobody_waits_for_ever(events: list[tuple[str, float]]) -> None:
    taking, now, paused = turns(), 0.0, False
    for name, wait in events:
        now += wait
        before = taking.floor
        action = EVENTS[name](taking, now)
        match action:
            case Action.PAUSE:
                assert not paused
                paused = True
            case Action.RESUME:
                assert paused
                paused = False
            case Action.INTERRUPT:
                assert before in (Floor.AGENT, Floor.DOUBT)
                paused = False
            case Action.END_OF_TURN:
                assert before in (Floor.CALLER, Floor.BREATH)
        assert paused == (taking.floor is Floor.DOUBT)
        waits = taking.floor in (Floor.CALLER, Floor.BREATH, Floor.DOUBT)
        assert (taking.deadline() is not None) == waits
