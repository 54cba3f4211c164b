from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.rtp_source import RtpReceived, RtpSource
from gateway.protocol.rtp import RtpPacket
from tests.rtp import RtpSender, Timed, voices

HERE = ("192.0.2.1", 4000)
SAME_MACHINE = ("192.0.2.1", 4002)
ELSEWHERE = ("198.51.100.7", 4000)


def push_all(source: RtpSource, packets: Iterable[Timed], address: tuple[str, int] = HERE) -> list[RtpReceived]:
    return [received for now, packet in packets for received in source.push(packet, address, now=now)]


def numbers(received: Iterable[RtpReceived]) -> list[int]:
    return [one.sequence_number for one in received]


def test_two_packets_prove_a_sender_and_none_is_lost_by_it() -> None:
    source, sender = RtpSource("inbound"), RtpSender()
    first, *rest = sender.voice(voices(5))
    assert push_all(source, [first]) == []
    assert (source.ssrc, source.heard_at, source.packets_received) == (None, None, 0)
    received = push_all(source, rest)
    assert [one.payload for one in received] == voices(5)
    assert [round(one.arrived, 3) for one in received] == [0.0, 0.02, 0.04, 0.06, 0.08]
    assert (source.ssrc, source.packets_received, source.packets_foreign, source.senders) == (sender.ssrc, 5, 0, 1)


def test_the_first_two_packets_are_put_in_order() -> None:
    source = RtpSource("inbound")
    first, second, third = RtpSender().voice(voices(3))
    assert [one.payload for one in push_all(source, [second, first, third])] == voices(3)


def test_a_packet_that_comes_twice_proves_nothing() -> None:
    source = RtpSource("inbound")
    first, second = RtpSender().voice(voices(2))
    assert push_all(source, [first, first]) == []
    assert [one.payload for one in push_all(source, [second])] == [voices(2)[0], *voices(2)]


@pytest.mark.parametrize("first", [0, 65_000, 65_535])
def test_numbers_and_timestamps_do_not_wrap(first: int) -> None:
    source = RtpSource("inbound")
    sender = RtpSender(sequence_number=first, timestamp=2**32 - 1000)
    received = push_all(source, sender.voice(voices(70_000, octets=1)))
    assert numbers(received) == list(range(received[0].sequence_number, received[0].sequence_number + 70_000))
    assert [one.timestamp for one in received[:20]] == [received[0].timestamp + 160 * n for n in range(20)]
    assert {one.chunk - one.sequence_number for one in received} == {0}


def test_packets_out_of_order_have_their_own_numbers_across_the_wrap() -> None:
    source = RtpSource("inbound")
    sent = RtpSender(sequence_number=65_533, timestamp=2**32 - 200).voice(voices(6))
    received = push_all(source, [sent[n] for n in (0, 1, 4, 2, 5, 3)])
    assert [number - received[0].sequence_number for number in numbers(received)] == [0, 1, 4, 2, 5, 3]
    assert [one.timestamp - received[0].timestamp for one in received] == [160 * n for n in (0, 1, 4, 2, 5, 3)]


def test_what_is_missing_is_told_as_rfc_3550_counts_it() -> None:
    source = RtpSource("inbound")
    sent = RtpSender(sequence_number=65_530).voice(voices(20))
    push_all(source, [one for n, one in enumerate(sent) if n not in (5, 9, 10)])
    assert (source.packets_expected, source.packets_received, source.packets_missing) == (20, 17, 3)
    push_all(source, [sent[19], sent[19], sent[18], sent[18], sent[17]])
    assert source.packets_missing == -2, "a doubled packet counts as received, appendix A.3"


def test_another_machine_is_foreign_whatever_it_sends() -> None:
    source, sender, other = RtpSource("inbound"), RtpSender(1), RtpSender(2)
    push_all(source, sender.voice(voices(3)))
    assert push_all(source, other.voice(voices(5)), ELSEWHERE) == []
    other.ssrc = sender.ssrc
    assert push_all(source, other.voice(voices(5)), ELSEWHERE) == []
    assert source.packets_foreign == 10
    other.wait(3600)
    assert push_all(source, other.voice(voices(5)), ELSEWHERE) == [], "however long the stream was silent"
    assert len(push_all(source, sender.voice(voices(2)))) == 2


def test_another_sender_on_the_same_machine_is_foreign_while_the_first_one_sends() -> None:
    source, sender, other = RtpSource("inbound"), RtpSender(1), RtpSender(2)
    both = sorted(sender.voice(voices(50)) + other.voice(voices(50)), key=lambda timed: timed[0])
    received = push_all(source, both)
    assert len({one.sender for one in received}) == 1
    assert len(received) == 50
    assert source.packets_foreign >= 39, "the last ten wait for the first sender's silence"


@pytest.mark.parametrize("address", [HERE, SAME_MACHINE])
def test_a_new_sender_on_the_same_machine_takes_over_with_all_its_packets(address: tuple[str, int]) -> None:
    source, sender, other = RtpSource("inbound"), RtpSender(1), RtpSender(2)
    before = push_all(source, sender.voice(voices(5)))
    other.now = sender.now
    after = push_all(source, other.voice(voices(20)), address)
    assert [one.payload for one in after] == voices(20)
    assert {one.sender for one in before} | {one.sender for one in after} == {1, 2}
    assert after[0].sequence_number > before[-1].sequence_number + 60_000, "so that nothing seems to be missing between"
    assert (source.ssrc, source.senders, source.packets_foreign) == (other.ssrc, 2, 0)
    assert (source.packets_expected, source.packets_missing) == (25, 0)


def test_a_sender_that_counts_anew_is_followed_with_its_second_packet() -> None:
    source, sender = RtpSource("inbound"), RtpSender(sequence_number=1000)
    push_all(source, sender.voice(voices(5)))
    sender.sequence_number = 40_000
    after = push_all(source, sender.voice(voices(5, seed=2)))
    assert [one.payload for one in after] == voices(5, seed=2)
    assert (source.senders, source.packets_missing) == (2, 0)


def test_one_wild_number_is_not_believed() -> None:
    source, sender = RtpSource("inbound"), RtpSender(sequence_number=1000)
    push_all(source, sender.voice(voices(5)))
    wild = RtpPacket(0, 40_000, 0, sender.ssrc, b"wild")
    assert push_all(source, [(0.1, wild)]) == []
    after = push_all(source, sender.voice(voices(5)))
    assert [one.payload for one in after] == voices(5)
    assert source.senders == 1


def test_a_gap_of_up_to_a_minute_is_a_gap() -> None:
    source, sender = RtpSource("inbound"), RtpSender()
    received = push_all(source, sender.voice(voices(2)))
    sender.sequence_number += 2998
    received += push_all(source, sender.voice(voices(1)))
    assert numbers(received)[2] - numbers(received)[1] == 2999
    assert source.packets_missing == 2998


def test_noise_from_many_senders_is_forgotten() -> None:
    source = RtpSource("inbound")
    for seed in range(1000):
        assert push_all(source, RtpSender(seed).voice([b"x"]), ("192.0.2.1", seed)) == []
    assert source.packets_foreign >= 990
    assert len(source._candidates) <= 8


@settings(deadline=None)
@given(
    datagrams=st.lists(
        st.tuples(
            st.sampled_from([HERE, SAME_MACHINE, ELSEWHERE]),
            st.builds(
                RtpPacket,
                payload_type=st.just(0),
                sequence_number=st.integers(0, 5) | st.integers(0, 2**16 - 1),
                timestamp=st.integers(0, 2**32 - 1),
                ssrc=st.integers(0, 2),
                payload=st.just(b"x"),
            ),
            st.floats(0, 0.3),
        ),
        max_size=80,
    )
)
def test_every_packet_is_the_streams_or_foreign_or_held(
    datagrams: list[tuple[tuple[str, int], RtpPacket, float]],
) -> None:
    source, now, received = RtpSource("inbound"), 0.0, list[RtpReceived]()
    for address, packet, delay in datagrams:
        now += delay
        received += source.push(packet, address, now=now)
    held = sum(map(len, source._candidates.values()))
    assert held <= 8 * 11
    assert len(received) == source.packets_received
    assert len(received) + source.packets_foreign + held == len(datagrams)
    assert all(one.sequence_number > 0 for one in received)
