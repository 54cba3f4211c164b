"""Keys that were pressed, in their true order; keys to be sent."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dtmf import KeyBuffer, ToneReader
from gateway.errors import PlaybackError, RemoteProtocolError
from gateway.items import Dtmf
from gateway.protocol import messages
from gateway.protocol.messages import DtmfBody


def pressed(digit: str, milliseconds: int | None = 0) -> messages.Dtmf:
    """A key, so long after ten o'clock."""
    occurred_at = None
    if milliseconds is not None:
        seconds, rest = divmod(milliseconds, 1000)
        occurred_at = f"2026-11-20T10:00:{seconds:02d}.{rest:03d}000Z"
    return messages.Dtmf(sequence_number=5, stream_id="S", occurred_at=occurred_at, dtmf=DtmfBody(digit))


def digits(keys: list[Dtmf]) -> str:
    return "".join(key.digit for key in keys)


def test_a_key_waits_for_the_window_and_no_longer() -> None:
    buffer = KeyBuffer(0.06)
    assert buffer.push(pressed("5"), now=1.0) == []
    assert buffer.deadline() == pytest.approx(1.06)
    assert buffer.pop(now=1.059) == []
    assert buffer.pop(now=1.06) == [Dtmf("5", datetime(2026, 11, 20, 10, tzinfo=UTC))]
    assert buffer.deadline() is None


def test_a_key_that_was_overtaken_is_told_first_and_delays_nothing() -> None:
    buffer = KeyBuffer(0.06)
    buffer.push(pressed("2", 100), now=1.0)
    buffer.push(pressed("1", 0), now=1.05)
    buffer.push(pressed("3", 200), now=1.055)
    assert digits(buffer.pop(now=1.06)) == "12"
    assert digits(buffer.pop(now=1.11)) == ""
    assert digits(buffer.pop(now=1.115)) == "3"
    assert buffer.keys_late == 0


def test_a_key_that_comes_too_late_is_told_at_once_and_counted() -> None:
    buffer = KeyBuffer(0.06)
    buffer.push(pressed("2", 100), now=1.0)
    assert digits(buffer.pop(now=1.1)) == "2"
    assert digits(buffer.push(pressed("1", 0), now=1.2)) == "1"
    assert (buffer.keys, buffer.keys_late) == (2, 1)


@pytest.mark.parametrize("occurred_at", [None, "", "yesterday", "2026-13-40T10:00:00Z", "9" * 100_000])
def test_a_key_that_does_not_say_when_waits_for_nothing(occurred_at: str | None) -> None:
    buffer = KeyBuffer(0.06)
    buffer.push(pressed("1"), now=1.0)
    message = messages.Dtmf(sequence_number=5, stream_id="S", occurred_at=occurred_at, dtmf=DtmfBody("2"))
    assert digits(buffer.push(message, now=1.01)) == "12"


def test_times_with_and_without_a_zone_can_be_compared() -> None:
    buffer = KeyBuffer(0.06)
    for digit, occurred_at in (("2", "2026-11-20T11:00:01.5+01:00"), ("1", "2026-11-20T10:00:01")):
        message = messages.Dtmf(sequence_number=5, stream_id="S", occurred_at=occurred_at, dtmf=DtmfBody(digit))
        buffer.push(message, now=1.0)
    assert digits(buffer.flush()) == "12"


@given(st.permutations(range(8)), st.lists(st.floats(0, 0.05), min_size=8, max_size=8))
def test_whatever_comes_within_the_window_is_put_in_order(order: list[int], pauses: list[float]) -> None:
    buffer = KeyBuffer(10.0)
    now = 0.0
    for number, pause in zip(order, pauses, strict=True):
        buffer.push(pressed(str(number), 100 * number), now=now)
        now += pause
    assert digits(buffer.pop(now=now + 10.0)) == "01234567"


def test_a_flood_of_keys_waits_in_a_bounded_room_and_none_is_lost() -> None:
    buffer = KeyBuffer(10.0)
    told = [key for number in range(50_000) for key in buffer.push(pressed("1", number), now=1.0)]
    assert len(told) == 50_000 - 32
    assert len(buffer.flush()) == 32


@pytest.mark.parametrize("digit", ["", "12", "x", "E", " ", "\N{FULLWIDTH DIGIT ONE}", "ß", "x" * 10_000])
def test_what_is_no_key_is_a_bad_message(digit: str) -> None:
    buffer = KeyBuffer(0.06)
    with pytest.raises(RemoteProtocolError, match="want one of") as raised:
        buffer.push(pressed(digit), now=1.0)
    assert len(str(raised.value)) < 100
    assert buffer.keys == 0


def test_letters_may_come_in_lower_case() -> None:
    assert digits(KeyBuffer(0.06).push(pressed("d", None), now=1.0)) == "D"


def test_tones_come_one_key_at_a_time() -> None:
    reader = ToneReader("1w#", 16_000, duration_ms=100, gap_ms=50)
    pieces = []
    while len(piece := reader.read()):
        pieces.append(piece)
    assert [len(piece) for piece in pieces] == [2400, 8000, 2400]
    assert not pieces[1].any()
    assert np.abs(pieces[0]).max() > 10_000
    assert len(reader.read()) == 0


@pytest.mark.parametrize(
    ("keys", "times", "complaint"),
    [
        ("", {}, "0 keys, want 1 to 200"),
        ("1" * 201, {}, "201 keys"),
        ("12x", {}, "keys are 0 to 9"),
        ("a", {}, "keys are"),
        ("1", {"duration_ms": 49}, "duration_ms is 49, want 50 to 500"),
        ("1", {"duration_ms": 501}, "duration_ms is 501"),
        ("1", {"gap_ms": 0}, "gap_ms is 0"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_telling_the_keys(
    keys: str, times: dict[str, int], complaint: str
) -> None:
    with pytest.raises(PlaybackError, match=complaint) as raised:
        ToneReader(keys, 8000, **({"duration_ms": 100, "gap_ms": 100} | times))
    assert "12x" not in str(raised.value)
