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
