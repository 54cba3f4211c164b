import pytest

from gateway.media.ear import OWN_MARK, Ear

OWN = OWN_MARK + "1"


def test_without_marks_the_ear_hears_at_the_deadlines() -> None:
    ear = Ear()
    ear.mark_sent("a", 100, 5.0)
    assert (ear.time(9.0), ear.when(9.0), ear.confirmed) == (9.0, 9.0, -1)


def test_the_quickest_echo_is_the_round_trip_and_a_later_one_tells_of_a_lag() -> None:
    ear = Ear()
    ear.mark_sent("begin", 0, 1.0)
    assert ear.mark_returned("begin", now=1.3)
    assert (ear.lag, ear.confirmed, ear.time(2.0)) == (0.0, 0, 2.0)
    ear.mark_sent("second", 8000, 2.0)
    ear.mark_returned("second", now=2.8)
    assert ear.lag == pytest.approx(0.5)
    assert ear.time(3.0) == pytest.approx(2.5)  # goes on from there at the pace of sound
    assert ear.when(2.5) == pytest.approx(3.0)
    ear.mark_sent("third", 16_000, 3.0)
    ear.mark_returned("third", now=3.3)
    assert ear.lag == pytest.approx(0.0)  # a pause made up for it
    assert ear.confirmed == 16_000


def test_the_ear_does_not_go_past_a_mark_whose_echo_is_overdue() -> None:
    ear = Ear()
    ear.mark_sent("first", 0, 1.0)
    ear.mark_returned("first", now=1.0)
    ear.mark_sent("second", 8000, 2.0)
    assert ear.time(2.05) == 2.05
    assert ear.time(2.5) == pytest.approx(2.1)
    assert ear.when(2.05) == 2.05
    assert ear.when(2.5) == pytest.approx(3.0)  # when it is given up
    ear.expire(2.99)
    assert ear.marks_missing == 0
    ear.expire(3.0)
    assert (ear.marks_missing, ear.time(3.0)) == (1, 3.0)


def test_an_echo_that_comes_early_is_no_negative_lag() -> None:
    ear = Ear()
    ear.mark_sent("a", 0, 5.0)
    ear.mark_sent("b", 10, 6.0)
    ear.mark_returned("a", now=4.0)
    ear.mark_returned("b", now=6.2)
    assert ear.lag == pytest.approx(0.2)


def test_a_lag_that_cannot_be_is_bounded() -> None:
    ear = Ear()
    for number, echo in enumerate((1.0, 100.0)):
        ear.mark_sent(str(number), 0, 1.0)
        ear.mark_returned(str(number), now=echo)
    assert ear.lag == 2.0


def test_marks_that_never_come_back_are_not_waited_for_a_second_time() -> None:
    ear = Ear()
    for number in range(3):
        ear.mark_sent(str(number), 1000 * number, float(number))
    assert ear.awaits(0) == 1.0
    ear.expire(1.0)
    assert ear.marks_missing == 1
    assert ear.awaits(1000) == pytest.approx(1.1)  # it may not know marks at all
    ear.expire(9.0)
    assert (ear.marks_missing, ear.awaits(9000)) == (3, None)


def test_only_marks_up_to_a_place_are_awaited_there() -> None:
    ear = Ear()
    ear.mark_sent("a", 100, 1.0)
    assert (ear.awaits(99), ear.awaits(100), ear.awaits(101)) == (None, 2.0, 2.0)


def test_an_echo_answers_for_the_marks_before_it_that_were_lost() -> None:
    ear = Ear()
    for name, place in (("a", 100), ("b", 200), ("c", 300)):
        ear.mark_sent(name, place, 1.0)
    ear.mark_returned("b", now=1.0)
    assert (ear.confirmed, ear.awaits(200)) == (200, None)
    ear.mark_returned("a", now=1.1)
    assert ear.confirmed == 200


def test_the_gateways_own_marks_are_not_told_and_all_others_are() -> None:
    ear = Ear()
    ear.mark_sent(OWN, 0, 1.0)
    ear.mark_sent("greeting", 0, 1.0)
    assert not ear.mark_returned(OWN, now=1.0)
    assert ear.mark_returned("greeting", now=1.0)
    assert ear.mark_returned("never sent", now=1.0)
    assert not ear.mark_returned(OWN_MARK + "99", now=1.0)


def test_echoes_from_before_a_clear_tell_the_application_and_nothing_of_the_ear() -> None:
    ear = Ear()
    for name in ("same", OWN, "same"):
        ear.mark_sent(name, 500, 10.0)
    ear.clear(0)
    ear.mark_sent("same", 100, 2.0)
    told = [ear.mark_returned(name, now=1.5) for name in ("same", OWN, "same")]
    assert told == [True, False, True]
    assert (ear.confirmed, ear.lag) == (-1, 0.0)
    assert ear.mark_returned("same", now=2.0)  # this one is of now
    assert ear.confirmed == 100


def test_marks_that_were_taken_back_are_not_told_for_they_are_sent_again() -> None:
    ear = Ear()
    ear.mark_sent("heard", 100, 1.0)
    ear.mark_sent(OWN, 200, 1.5)
    ear.mark_sent("unheard", 200, 1.5)
    assert ear.take_back(150) == [(200, "unheard")]
    told = [ear.mark_returned(name, now=1.2) for name in ("heard", OWN, "unheard")]
    assert told == [True, False, False]
    ear.mark_sent("unheard", 200, 3.0)
    assert ear.mark_returned("unheard", now=3.0)


def test_nothing_that_was_taken_back_stays_confirmed() -> None:
    ear = Ear()
    ear.mark_sent("a", 100, 1.0)
    ear.mark_returned("a", now=0.5)
    ear.take_back(60)
    assert ear.confirmed == 60


def test_a_flood_of_marks_takes_no_more_room_than_a_thousand() -> None:
    ear = Ear()
    for number in range(5000):
        ear.mark_sent(str(number), number, 1.0)
    assert ear.mark_returned("3999", now=1.0)
    assert ear.confirmed == -1  # forgotten
    assert ear.mark_returned("4000", now=1.0)
    assert ear.confirmed == 4000
