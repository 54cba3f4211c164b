"""A stream that another socket goes on with."""

import pytest

from gateway.media.frame import AudioFrame
from gateway.media.receiver import Receiver
from tests.gateway.media.test_receiver import WINDOW, l16, packet, pcmu, sound, voice


def heard(packets: int) -> Receiver:
    """A receiver that has taken so many packets, 20 ms apart, the first at 0.0."""
    receiver = Receiver(pcmu, window=WINDOW)
    for number in range(packets):
        receiver.push(packet(number + 1), now=0.02 * number)
    return receiver


@pytest.mark.parametrize("first_chunk", [1, 11, 5000])
def test_the_counts_begin_anew_and_the_time_line_goes_on_where_it_would_be(first_chunk: int) -> None:
    receiver = heard(10)
    assert list(receiver.reconnect(pcmu)) == []
    frames = list(receiver.push(packet(first_chunk, voice(1), number=2), now=0.2 + 1.5))
    frames += receiver.pop(now=2.0)
    frames += receiver.push(packet(first_chunk + 1, voice(2), number=3), now=0.2 + 1.52)
    assert frames[0].timestamp == 1600
    assert sum(len(frame.samples) for frame in frames) == 12_000 + 320
    assert frames[-2].timestamp == 1600 + 12_000
    assert not sound(frames[:-2]).any()
    assert all(frame.concealed for frame in frames[:-2])
    assert [frame.payload for frame in frames[-2:]] == [voice(1), voice(2)]
    report = receiver.describe()
    assert report["packets_lost"] == 0
    assert report["resynchronisations"] == 0
    (gap,) = report["ledger"]["gaps"]
    assert gap == {"track": "inbound", "position": 1600, "length": 12_000, "cause": "reconnect"}


def test_what_waited_for_its_turn_is_given_up_first() -> None:
    receiver = heard(3)
    assert list(receiver.push(packet(5), now=0.08)) == []
    frames = receiver.reconnect(pcmu)
    assert [frame.concealed for frame in frames] == [True, False]
    assert receiver.deadline() is None


def test_a_socket_that_is_quick_leaves_no_hole() -> None:
    receiver = heard(10)
    receiver.reconnect(pcmu)
    (frame,) = receiver.push(packet(1, number=2), now=0.19)
    assert frame.timestamp == 1600
    assert receiver.describe()["ledger"]["gaps_total"] == 0


def test_order_and_loss_are_judged_by_the_new_counts() -> None:
    receiver = heard(10)
    receiver.reconnect(pcmu)
    receiver.push(packet(1, number=2), now=0.2)
    assert list(receiver.push(packet(3, number=4), now=0.24)) == []
    frames = receiver.push(packet(2, number=3), now=0.25)
    assert [frame.payload for frame in frames] == [voice(2), voice(3)]


def test_tracks_that_were_counted_together_are_judged_together_again() -> None:
    receiver = Receiver(pcmu, window=WINDOW)
    for number in range(4):
        receiver.push(packet(2 * number + 1, number=2 * number + 2), now=0.02 * number)
        receiver.push(packet(2 * number + 2, None, "outbound", 2 * number + 3), now=0.02 * number)
    receiver.reconnect(pcmu)
    for number in range(4):
        now = 1.08 + 0.02 * number
        receiver.push(packet(2 * number + 1, number=2 * number + 2), now=now)
        receiver.push(packet(2 * number + 2, None, "outbound", 2 * number + 3), now=now)
    report = receiver.describe()
    assert report["packets_lost"] == 0
    assert receiver.position("inbound") == receiver.position("outbound") == 8 * 160 + 8000


def test_another_codec_goes_on_at_the_rate_of_the_first() -> None:
    receiver = heard(10)
    receiver.reconnect(l16)
    frames: list[AudioFrame] = []
    for number in range(10):
        frames += receiver.push(packet(number + 1, bytes(640), number=number + 2), now=0.2 + 0.02 * number)
    assert {frame.sample_rate for frame in frames} == {8000}
    assert abs(receiver.position("inbound") - 3200) < 40
