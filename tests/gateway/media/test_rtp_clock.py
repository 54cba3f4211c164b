import pytest

from gateway.media.rtp_clock import RtpClock
from gateway.media.rtp_source import RtpReceived

RATE = 8000


def packet(timestamp: int, arrived: float, sender: int = 1) -> RtpReceived:
    """One of 160 samples."""
    return RtpReceived(
        track="inbound",
        sequence_number=1,
        chunk=1,
        timestamp=timestamp,
        payload=b"",
        payload_type=0,
        marker=False,
        arrived=arrived,
        sender=sender,
    )


def running(sample_rate: int = RATE) -> RtpClock:
    """A clock that has placed one packet, of timestamp 1000, at 0; it came at 10 s."""
    clock, first = RtpClock(sample_rate), packet(1000, 10.0)
    clock.begin(first, RATE, 0)
    clock.end(first, sample_rate // 50)
    return clock


@pytest.mark.parametrize(
    ("timestamp", "arrived", "gap"),
    [
        (1160, 10.02, 0),
        (1320, 10.04, 160),
        (1160 + 24_000, 13.02, 24_000),
        (1160 + 9000, 10.2, 9000),  # a second ahead of the arrivals: packets may have been held up before
        (1160, 15.0, 0),  # held up themselves
    ],
)
def test_the_timestamp_tells_the_gap(timestamp: int, arrived: float, gap: int) -> None:
    clock = running()
    assert clock.gap(packet(timestamp, arrived), RATE, 160, lost=0, length=160) == gap
    assert clock.jumps == 0


@pytest.mark.parametrize(
    ("timestamp", "arrived", "sender", "gap"),
    [
        (1160 + 9800, 10.2, 1, 1440),  # too far ahead; there was time for 0.18 s
        (1139, 10.02, 1, 0),  # back
        (0, 10.5, 1, 3840),
        (1160, 10.5, 2, 3840),  # another sender's
        (0, 10.1, 1, 0),  # may be jitter
    ],
)
def test_where_it_makes_no_sense_the_arrivals_do(timestamp: int, arrived: float, sender: int, gap: int) -> None:
    clock, odd = running(), packet(timestamp, arrived, sender)
    assert clock.gap(odd, RATE, 160, lost=0, length=160) == gap
    assert clock.jumps == 1
    clock.begin(odd, RATE, 160 + gap)
    clock.end(odd, 320 + gap)
    after = packet(timestamp + 320, arrived + 0.04, sender)
    assert clock.gap(after, RATE, 320 + gap, lost=0, length=160) == 160, "it counts from there"
    assert clock.jumps == 1


def test_lost_packets_account_for_their_time() -> None:
    clock = running()
    assert clock.gap(packet(1160 + 20 * 160, 10.02), RATE, 160, lost=20, length=160) == 3200
    assert clock.gap(packet(77, 10.02), RATE, 160, lost=20, length=160) == 3200
    assert clock.jumps == 1


def test_another_clock_rate_is_another_clock() -> None:
    clock = running()
    assert clock.gap(packet(1160, 10.02), 16_000, 160, lost=0, length=160) == 0
    assert clock.jumps == 1


def test_time_line_and_timestamps_may_have_different_rates() -> None:
    assert running(16_000).gap(packet(1160 + 800, 10.12), RATE, 320, lost=0, length=320) == 1600


def test_rounding_is_no_gap() -> None:
    clock = running()
    assert clock.gap(packet(1160 + 19, 10.02), RATE, 160, lost=0, length=160) <= clock.tolerance
    assert clock.gap(packet(1160 - 19, 10.02), RATE, 160, lost=0, length=160) >= -clock.tolerance
    assert clock.jumps == 0


def test_silence_is_due_a_second_late() -> None:
    clock = running()
    assert clock.overdue(160, now=10.9) == 0
    assert clock.overdue(160, now=11.5) == 4000
    assert clock.overdue(4160, now=11.5) == 0
    assert clock.overdue(4160, now=12.0) == 4000
