"""What is kept of a call."""

import numpy as np

from gateway.simulator.journal import Heard, Journal, MessageLog, Said

HOUR = 3600 * 8000


def test_pieces_that_touch_are_one() -> None:
    heard = Heard(8000)
    heard.add(10, np.ones(5, np.int16))
    heard.add(15, np.ones(5, np.int16))
    heard.add(21, np.ones(5, np.int16))
    assert heard.pieces == [(10, 10), (21, 5)]
    assert heard.samples().tolist() == [0] * 10 + [1] * 10 + [0] + [1] * 5


def test_sound_from_two_sides_is_mixed_and_cannot_overflow() -> None:
    heard = Heard(8000)
    heard.add(0, np.full(10, 30_000, np.int16))
    heard.add(5, np.full(10, 10_000, np.int16))
    heard.add(2, np.full(2, -40, np.int16))
    assert heard.samples().tolist() == [30_000] * 2 + [29_960] * 2 + [30_000] + [32_767] * 5 + [10_000] * 5
    assert heard.pieces == [(0, 15)]


def test_a_piece_may_come_before_one_that_is_there() -> None:
    heard = Heard(8000)
    heard.add(20, np.full(5, 2, np.int16))
    heard.add(5, np.full(5, 1, np.int16))
    assert heard.pieces == [(5, 5), (20, 5)]
    assert heard.samples().tolist() == [0] * 5 + [1] * 5 + [0] * 10 + [2] * 5
    heard.add(10, np.full(10, 3, np.int16))
    assert heard.pieces == [(5, 20)]


def test_a_window_is_as_long_as_asked_for_wherever_it_lies() -> None:
    heard = Heard(8000)
    heard.add(2, np.full(4, 1, np.int16))
    assert heard.window(-3, 5).tolist() == [0] * 5
    assert heard.window(-1, 5).tolist() == [0, 0, 0, 1, 1]
    assert heard.window(4, 5).tolist() == [1, 1, 0, 0, 0]
    assert heard.window(50, 3).tolist() == [0] * 3
    assert heard.window(-9, 4).tolist() == [0] * 4


def test_the_time_line_begins_where_it_is_first_asked_for() -> None:
    journal = Journal(8000)
    assert [journal.position(at) for at in (100.0, 100.02, 100.0201, 99.98)] == [0, 160, 161, -160]
    assert journal.origin == 100.0


def test_marks_and_errors_are_told_at_once() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    journal = Journal(8000, lambda kind, **fields: told.append((kind, fields)))
    journal.note_mark("a")
    journal.note_error(100003, "no")
    assert told == [
        ("stream", {"event": "mark returned", "name": "a"}),
        ("stream", {"event": "error", "code": 100003, "detail": "no"}),
    ]


def test_sound_beyond_an_hour_is_left_out_and_told() -> None:
    journal = Journal(8000)
    journal.heard.add(HOUR - 2, np.ones(2, np.int16))
    assert journal.describe()["complete"] is True
    journal.heard.add(HOUR, np.ones(1, np.int16))
    assert journal.describe()["complete"] is False
    assert journal.heard.pieces == [(HOUR - 2, 2)]
    said = Said(8)
    said.add(np.ones(3600 * 8, np.int16))
    said.add(np.ones(1, np.int16))
    assert (len(said.samples()), said.complete) == (3600 * 8, False)


def test_messages_beyond_an_hour_are_counted_and_not_kept() -> None:
    log = MessageLog()
    for number in range(180_001):
        log.add(number / 50, 160)
    assert log.messages == 180_001
    assert len(log.pairs()) == 180_000
    assert log.pairs()[1] == (0.02, 160)


def test_marks_and_errors_are_bounded() -> None:
    journal = Journal(8000)
    for number in range(1001):
        journal.note_mark(str(number))
        journal.note_error(100003, "no")
    described = journal.describe()
    assert len(described["marks_returned"]) == len(described["errors"]) == 1000
    assert described["errors"][0] == {"code": 100003, "detail": "no"}
