"""What is kept until it is understood, and from a service's time to the media's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcribe.audio import AudioFormat, Chunk
from gateway.transcribe.outbox import Outbox, SessionClock
from gateway.transcribe.pace import Pace

PCMU = AudioFormat("PCMU", 1000)  # an octet is a millisecond


def chunk(start: int, length: int = 100) -> Chunk:
    """Octets that tell their own place, so many milliseconds from there."""
    return Chunk(start / 1000, (start + length) / 1000, bytes((start + at) % 251 for at in range(length)))


def popped(outbox: Outbox) -> list[Chunk]:
    chunks = []
    while (one := outbox.pop()) is not None:
        chunks.append(one)
    return chunks


def test_what_was_acknowledged_does_not_come_again_and_the_rest_does_from_the_very_sample() -> None:
    outbox = Outbox(PCMU, 10)
    for start in (0, 100, 200, 300):
        outbox.push(chunk(start))
    assert [one.start for one in popped(outbox)] == [0, 0.1, 0.2, 0.3]
    assert outbox.pop() is None
    outbox.acknowledge(0.13)
    outbox.acknowledge(0.05)  # late, and changes nothing
    outbox.rewind()
    first, *rest = popped(outbox)
    assert first == Chunk(0.13, 0.2, chunk(100).payload[30:])
    assert rest == [chunk(200), chunk(300)]
    assert outbox.replayed == pytest.approx(0.27)
    assert outbox.lost == 0


def test_what_would_be_too_short_to_be_sent_alone_goes_with_what_follows_it() -> None:
    outbox = Outbox(PCMU, 10, least=0.06)
    for start in (0, 100):
        outbox.push(chunk(start))
    popped(outbox)
    outbox.acknowledge(0.07)
    outbox.rewind()
    assert popped(outbox) == [Chunk(0.07, 0.2, chunk(0).payload[70:] + chunk(100).payload)]
    outbox.acknowledge(0.18)
    outbox.rewind()
    (last,) = popped(outbox)
    assert (last.start, last.end) == (0.18, 0.2)
    assert last.payload == chunk(100).payload[80:] + PCMU.silence(0.04)


def test_a_full_outbox_lets_go_of_what_was_sent_first_and_never_of_what_was_not() -> None:
    outbox = Outbox(PCMU, 0.3)
    for start in (0, 100, 200):
        outbox.push(chunk(start))
    assert outbox.full
    outbox.pop()
    assert not outbox.full
    outbox.push(chunk(300))
    assert (outbox.full, outbox.let_go, outbox.lost) == (True, pytest.approx(0.1), 0)
    outbox.rewind()
    assert outbox.lost == pytest.approx(0.1)
    assert [one.start for one in popped(outbox)] == [0.1, 0.2, 0.3]


def test_what_was_let_go_and_then_acknowledged_is_not_lost() -> None:
    outbox = Outbox(PCMU, 0.1)
    for start in (0, 100, 200):
        outbox.push(chunk(start))
        outbox.pop()
    outbox.acknowledge(0.2)
    outbox.rewind()
    assert outbox.lost == 0


@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=20),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=20),
)
def test_whatever_happens_each_connection_begins_where_all_was_understood(
    lengths: list[int], steps: list[tuple[bool, int]]
) -> None:
    outbox, end = Outbox(PCMU, 100), 0
    for length in lengths:
        outbox.push(chunk(end, length))
        end += length
    for breaks, until in steps:
        sent = outbox.pop()
        if sent is not None:
            outbox.acknowledge(min(until / 1000, sent.end))
        if breaks:
            outbox.rewind()
    outbox.rewind()
    done = round(outbox.acknowledged * 1000)
    assert b"".join(one.payload for one in popped(outbox)) == bytes(at % 251 for at in range(done, end))
    assert outbox.lost == 0


def test_a_service_s_time_is_placed_on_the_media_s_over_holes_and_pauses() -> None:
    clock = SessionClock(PCMU)
    assert clock.media(3) == 0
    clock.add(chunk(5000))
    clock.add(chunk(5100))
    clock.add(Chunk(5.2, 5.2, bytes(1000)))  # silence that takes no media time
    clock.add(chunk(9000))
    assert clock.sent == pytest.approx(1.3)
    for service, media in ((0, 5.0), (0.15, 5.15), (0.5, 5.2), (1.2, 9.0), (1.25, 9.05), (77, 9.1), (-3, 5.0)):
        assert clock.media(service) == pytest.approx(media)
    assert clock.media(0.2, end=True) == pytest.approx(5.2)
    assert clock.media(1.2, end=True) == pytest.approx(5.2), "an end is before what comes behind it"


def test_what_waits_is_sent_no_faster_than_the_service_wants() -> None:
    pace = Pace(1.25, ahead=2.0, now=100.0)
    assert pace.wait(2.0, now=100.0) == 0
    assert pace.wait(4.5, now=100.0) == pytest.approx(2.0)
    assert pace.wait(4.5, now=101.5) == pytest.approx(0.5)
    assert Pace(float("inf"), ahead=2.0, now=0.0).wait(1000.0, now=0.0) == 0
