from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.media.reorder import Lost, Ordered, ReorderBuffer
from gateway.protocol.messages import Track
from gateway.protocol.stream import MediaReceived

WINDOW = 0.06
HUGE = 2**63 - 1


def packet(chunk: int, number: int | None = None, track: Track = "inbound") -> MediaReceived:
    """A packet of a stream with one track, where chunk 1 is message 2, unless told otherwise."""
    return MediaReceived(track, chunk + 1 if number is None else number, chunk, 20 * chunk, b"")


def told(ordered: Iterable[Ordered]) -> list[str]:
    """Short words: `i7` for chunk 7 of the inbound track, `-o3` for three lost packets of the outbound one."""
    return [
        f"-{item.track[0]}{item.count}" if isinstance(item, Lost) else item.track[0] + str(item.chunk)
        for item in ordered
    ]


def total(buffer: ReorderBuffer, name: str) -> int:
    """A counter, over all tracks."""
    return sum(getattr(packets, name) for packets in buffer.tracks.values())


def push_all(buffer: ReorderBuffer, packets: Iterable[MediaReceived], *, now: float = 0.0) -> list[str]:
    return [word for one in packets for word in told(buffer.push(one, now=now))]


def interleaved(count: int, *, shared: bool) -> list[MediaReceived]:
    """Two tracks taking turns, chunks counted per stream (`shared`) or per track."""
    tracks: tuple[Track, Track] = ("inbound", "outbound")
    return [packet(n + 1 if shared else n // 2 + 1, n + 2, tracks[n % 2]) for n in range(count)]


# --- one track -------------------------------------------------------------------------------------------------


def test_packets_in_order_pass_at_once() -> None:
    buffer = ReorderBuffer(WINDOW)
    for chunk in range(1, 100):
        one = packet(chunk)
        assert list(buffer.push(one, now=0.02 * chunk)) == [one]
        assert buffer.deadline() is None
    assert (total(buffer, "packets_received"), total(buffer, "packets_lost"), total(buffer, "packets_reordered")) == (
        99,
        0,
        0,
    )


@pytest.mark.parametrize("first", [0, 1, 2, 1000, HUGE - 5])
def test_the_first_chunk_may_be_any_number(first: int) -> None:
    buffer = ReorderBuffer(WINDOW)
    words = push_all(buffer, [packet(first, 2), packet(first + 1, 3), packet(first + 2, 4)])
    assert words == [f"i{first}", f"i{first + 1}", f"i{first + 2}"]
    assert buffer.resynchronisations == 0


def test_two_packets_that_changed_places_change_back() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(2)])
    assert buffer.push(packet(4), now=1.0) == []
    assert buffer.deadline() == pytest.approx(1.0 + WINDOW)
    assert told(buffer.push(packet(3), now=1.02)) == ["i3", "i4"]
    assert buffer.deadline() is None
    assert (total(buffer, "packets_reordered"), total(buffer, "packets_lost"), total(buffer, "packets_late")) == (
        1,
        0,
        0,
    )


def test_the_first_packet_waits_where_messages_before_it_are_missing() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert buffer.push(packet(3), now=0.0) == []
    assert buffer.push(packet(2), now=0.0) == []
    assert told(buffer.push(packet(1), now=0.0)) == ["i1", "i2", "i3"]


def test_the_first_packet_that_waited_in_vain_begins_the_count() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert buffer.push(packet(7, 20), now=0.0) == []
    assert told(buffer.pop(now=WINDOW)) == ["i7"]
    assert told(buffer.push(packet(8, 21), now=WINDOW)) == ["i8"]
    assert total(buffer, "packets_lost") == 0


def test_chunk_1_is_the_first_whatever_is_missing_before_it() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(1, 9), packet(2, 10)]) == ["i1", "i2"]


def test_a_gap_waits_for_the_window_and_no_longer() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1)])
    push_all(buffer, [packet(4), packet(5)], now=1.0)
    assert buffer.pop(now=1.0 + WINDOW - 0.001) == ()
    assert told(buffer.pop(now=1.0 + WINDOW)) == ["-i2", "i4", "i5"]
    assert total(buffer, "packets_lost") == 2
    assert buffer.deadline() is None


def test_a_gap_whose_time_is_over_is_given_up_by_the_next_packet_too() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(3)])
    assert told(buffer.push(packet(4), now=WINDOW)) == ["-i1", "i3", "i4"]


def test_each_gap_has_its_own_time() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1)])
    buffer.push(packet(3), now=1.00)
    buffer.push(packet(5), now=1.04)
    assert told(buffer.pop(now=1.06)) == ["-i1", "i3"]
    assert buffer.deadline() == pytest.approx(1.10)
    assert told(buffer.pop(now=1.10)) == ["-i1", "i5"]


def test_a_packet_that_comes_after_its_gap_was_given_up_is_late() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(3)])
    buffer.pop(now=WINDOW)
    assert buffer.push(packet(2), now=WINDOW) == ()
    assert (total(buffer, "packets_late"), total(buffer, "packets_duplicated")) == (1, 0)
    assert told(buffer.push(packet(4), now=WINDOW)) == ["i4"]


@pytest.mark.parametrize("again", [packet(1), packet(2), packet(3), packet(5), packet(3, 7)])
def test_a_packet_that_comes_twice_passes_once(again: MediaReceived) -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(2), packet(3), packet(5)])
    assert buffer.push(again, now=0.0) == ()
    assert (total(buffer, "packets_duplicated"), total(buffer, "packets_late")) == (1, 0)
    assert told(buffer.push(packet(4), now=0.0)) == ["i4", "i5"]


def test_chunks_left_out_are_no_loss_where_no_message_is_missing() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(1, 2), packet(5, 3), packet(6, 4)]) == ["i1", "i5", "i6"]
    assert total(buffer, "packets_lost") == 0


def test_no_more_packets_are_lost_than_messages_are_missing() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1, 2), packet(9, 5)])
    assert told(buffer.flush()) == ["-i2", "i9"]


def test_missing_messages_without_a_gap_in_chunk_are_not_waited_for() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(1, 2), packet(2, 7), packet(3, 8)]) == ["i1", "i2", "i3"]
    assert total(buffer, "packets_lost") == 0


def test_messages_of_other_kinds_are_not_missing_once_noted() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1, 2)])
    buffer.note(3)
    assert push_all(buffer, [packet(2, 4), packet(4, 5)]) == ["i2", "i4"]
    assert total(buffer, "packets_lost") == 0


def test_a_message_of_another_kind_that_comes_late_ends_the_wait() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1, 2)])
    assert buffer.push(packet(3, 4), now=0.0) == []
    buffer.note(3)
    assert told(buffer.push(packet(4, 5), now=0.02)) == ["i3", "i4"]
    assert total(buffer, "packets_lost") == 0


def test_flush_returns_what_waits() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(3), packet(6)])
    assert told(buffer.flush()) == ["-i1", "i3", "-i2", "i6"]
    assert buffer.flush() == []
    assert buffer.deadline() is None


# --- two tracks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_both_tracks_pass_at_once_however_chunks_are_counted(shared: bool) -> None:
    buffer = ReorderBuffer(WINDOW)
    for one in interleaved(100, shared=shared):
        assert list(buffer.push(one, now=0.0)) == [one]
    assert buffer.deadline() is None
    assert total(buffer, "packets_lost") == 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("missing", [4, 5])
def test_a_packet_of_one_track_that_is_lost_is_told_as_of_that_track(missing: int, shared: bool) -> None:
    buffer = ReorderBuffer(WINDOW)
    packets = interleaved(10, shared=shared)
    gone = packets.pop(missing)
    words = push_all(buffer, packets) + told(buffer.flush())
    assert [word for word in words if word[0] == "-"] == [f"-{gone.track[0]}1"]
    for track in "io":
        its = [word for word in words if track in word]
        assert its.index(f"-{track}1") == missing // 2 if track == gone.track[0] else len(its) == 5


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_of_lost_packets_is_shared_by_the_tracks(shared: bool) -> None:
    buffer = ReorderBuffer(WINDOW)
    packets = interleaved(20, shared=shared)
    words = push_all(buffer, packets[:6] + packets[11:]) + told(buffer.flush())
    assert {word for word in words if word[0] == "-"} == {"-i3", "-o2"}
    assert total(buffer, "packets_lost") == 5


def test_a_gap_of_one_track_does_not_hold_the_other_where_each_counts_its_own() -> None:
    buffer = ReorderBuffer(WINDOW)
    packets = interleaved(12, shared=False)
    del packets[6]
    words = push_all(buffer, packets)
    assert [word for word in words if word[0] == "o"] == ["o1", "o2", "o3", "o4", "o5", "o6"]
    assert [word for word in words if word[0] == "i"] == ["i1", "i2", "i3"]


def test_a_track_that_joins_late_counts_its_own() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(chunk) for chunk in range(1, 51)])
    mixed = [packet(1, 52, "outbound"), packet(51, 53), packet(2, 54, "outbound"), packet(52, 55)]
    assert push_all(buffer, mixed) == ["o1", "i51", "o2", "i52"]
    assert total(buffer, "packets_late") == 0


def test_a_second_track_far_ahead_of_the_first_counts_its_own() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(2)])
    words = push_all(buffer, [packet(1000, 5, "outbound"), packet(3, 6)]) + told(buffer.flush())
    assert sorted(words) == ["i3", "o1000"]
    assert (buffer.resynchronisations, total(buffer, "packets_lost")) == (0, 0)


def test_what_a_track_has_waiting_goes_with_it_when_counts_are_parted() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(1, 3, "outbound"), packet(2, 4)]) == ["o1", "i2"]  # looks like one count
    assert push_all(buffer, [packet(8, 17), packet(7, 14, "outbound")]) == []
    words = push_all(buffer, [packet(7, 15)]) + told(buffer.flush())
    assert [word for word in words if "i" in word] == ["i7", "i8"]
    assert [word for word in words if "o" in word] == ["-o4", "o7"]


def test_a_count_that_seemed_shared_is_parted_when_it_proves_not_to_be() -> None:
    buffer = ReorderBuffer(WINDOW)
    # The first inbound packet is missing, so that chunk 2 after chunk 1 looks like one count for both.
    packets = [packet(1, 3, "outbound"), packet(2, 4), packet(2, 5, "outbound"), packet(3, 6), packet(3, 7, "outbound")]
    words = push_all(buffer, packets) + told(buffer.pop(now=WINDOW))
    assert sorted(words) == ["i2", "i3", "o1", "o2", "o3"]
    assert (total(buffer, "packets_late"), total(buffer, "packets_duplicated")) == (0, 0)


# --- hostile numbers -------------------------------------------------------------------------------------------


def test_a_jump_by_a_million_is_not_waited_for_and_loses_no_more_than_250() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1, 2)])
    assert push_all(buffer, [packet(1_000_000, 900)]) == ["-i250", "i1000000"]
    assert push_all(buffer, [packet(1_000_001, 901)]) == ["i1000001"]
    assert (buffer.resynchronisations, total(buffer, "packets_lost")) == (1, 250)


def test_a_jump_of_both_counts_loses_nothing() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1)])
    assert push_all(buffer, [packet(1_000_000), packet(1_000_001)]) == ["i1000000", "i1000001"]
    assert (buffer.resynchronisations, total(buffer, "packets_lost")) == (1, 0)


def test_a_jump_lets_pass_what_was_held() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1), packet(3)])
    assert push_all(buffer, [packet(10_000, 5)]) == ["-i1", "i3", "i10000"]


@pytest.mark.parametrize("before", [60, 5000])
def test_a_count_that_begins_anew_is_followed_after_50_packets(before: int) -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(chunk) for chunk in range(1, before)])
    words = push_all(buffer, [packet(chunk) for chunk in range(1, 59)])
    assert words == [f"i{chunk}" for chunk in range(50, 59)]
    assert buffer.resynchronisations == 1
    assert total(buffer, "packets_late") + total(buffer, "packets_duplicated") == 49
    assert push_all(buffer, [packet(60)]) + told(buffer.flush()) == ["-i1", "i60"]


def test_a_sequence_number_that_jumps_there_and_back_does_not_stop_the_count_of_losses() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(1, 2), packet(2, HUGE), packet(3, 4), packet(4, 5)]) == ["i1", "i2", "i3", "i4"]
    push_all(buffer, [packet(6, 7)])
    assert told(buffer.flush()) == ["-i1", "i6"]


def test_no_more_than_250_packets_are_held() -> None:
    buffer = ReorderBuffer(WINDOW)
    push_all(buffer, [packet(1)])
    words = push_all(buffer, [packet(chunk) for chunk in range(3, 253)])
    assert words == []
    assert push_all(buffer, [packet(253)])[:2] == ["-i1", "i3"]


def test_a_stream_without_sequence_numbers_passes() -> None:
    buffer = ReorderBuffer(WINDOW)
    assert push_all(buffer, [packet(chunk, 0) for chunk in range(1, 6)]) == ["i1", "i2", "i3", "i4", "i5"]


# --- any order -------------------------------------------------------------------------------------------------


def arrive(buffer: ReorderBuffer, arrivals: Sequence[tuple[float, MediaReceived]]) -> list[Ordered]:
    """Push in the order of the times, calling `pop` when it is due, as a driver would."""
    ordered: list[Ordered] = []
    for now, one in sorted(arrivals, key=lambda arrival: arrival[0]):
        while (due := buffer.deadline()) is not None and due < now:
            popped = buffer.pop(now=due)
            assert popped, "a deadline that releases nothing would be called for ever"
            ordered += popped
        ordered += buffer.push(one, now=now)
    return ordered + list(buffer.flush())


def check_order(ordered: Iterable[Ordered], track: Track, first: int, *, step: int = 1) -> int:
    """Every packet stands where its chunk says, losses counted in; returns the number of packets."""
    place, passed = 0, 0
    for item in ordered:
        if item.track != track:
            continue
        if isinstance(item, Lost):
            assert item.count >= 1
            place += item.count
        else:
            assert item.chunk == first + step * place
            place, passed = place + 1, passed + 1
    return passed


DELAYS = st.lists(st.floats(0, 0.0599), max_size=60)


@given(delays=DELAYS, first=st.integers(0, 10**6))
def test_any_order_within_the_window_is_put_right(delays: list[float], first: int) -> None:
    packets = [packet(first + n, 2 + n) for n in range(len(delays) + 1)]
    arrivals = [(0.02 * n + delay, one) for n, (delay, one) in enumerate(zip([0.0, *delays], packets, strict=True))]
    buffer = ReorderBuffer(WINDOW)
    assert arrive(buffer, arrivals) == packets
    assert (total(buffer, "packets_lost"), total(buffer, "packets_late"), total(buffer, "packets_duplicated")) == (
        0,
        0,
        0,
    )


@given(
    fates=st.lists(st.lists(st.floats(0, 0.5), max_size=3), max_size=60),
    shared=st.booleans(),
    both=st.booleans(),
)
def test_every_packet_and_every_place_is_accounted_for(fates: list[list[float]], shared: bool, both: bool) -> None:
    """Each packet comes never, once, or several times, each time with a delay of its own."""
    first = interleaved(3, shared=shared) if both else [packet(1)]
    count = len(first) + len(fates)
    packets = interleaved(count, shared=shared) if both else [packet(n) for n in range(1, count + 1)]
    arrivals = [(0.001 * n, one) for n, one in enumerate(first)]
    for n, (fate, one) in enumerate(zip(fates, packets[len(first) :], strict=True), start=len(first)):
        arrivals += [(0.02 * n + delay, one) for delay in fate]
    buffer = ReorderBuffer(WINDOW)
    ordered = arrive(buffer, arrivals)
    passed = [item for item in ordered if isinstance(item, MediaReceived)]
    assert len(set(map(id, passed))) == len(passed)
    assert total(buffer, "packets_received") == len(arrivals)
    assert len(passed) + total(buffer, "packets_late") + total(buffer, "packets_duplicated") == len(arrivals)
    assert sum(item.count for item in ordered if isinstance(item, Lost)) == total(buffer, "packets_lost")
    if both and shared:
        assert len(passed) + total(buffer, "packets_lost") == max(one.chunk for one in passed)
        assert [one.chunk for one in passed] == sorted(one.chunk for one in passed)
    else:
        assert sum(check_order(ordered, track, 1) for track in ("inbound", "outbound")) == len(passed)


ANY = st.integers(0, 12) | st.integers(0, HUGE) | st.integers(0, 2000)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["inbound", "outbound"]), ANY, ANY, st.floats(0, 0.1)), max_size=60),
    notes=st.lists(ANY, max_size=5),
)
def test_no_numbers_do_harm(steps: list[tuple[Track, int, int, float]], notes: list[int]) -> None:
    buffer, now, passed, lost = ReorderBuffer(WINDOW), 0.0, 0, 0
    for number in notes:
        buffer.note(number)
    for track, chunk, number, delay in steps:
        now += delay
        ordered = [*buffer.pop(now=now), *buffer.push(packet(chunk, number, track), now=now)]
        passed += sum(isinstance(item, MediaReceived) for item in ordered)
        lost += sum(item.count for item in ordered if isinstance(item, Lost))
        due = buffer.deadline()
        assert due is None or due <= now + WINDOW
    ordered = list(buffer.flush())
    passed += sum(isinstance(item, MediaReceived) for item in ordered)
    lost += sum(item.count for item in ordered if isinstance(item, Lost))
    assert buffer.deadline() is None
    assert (
        passed + total(buffer, "packets_late") + total(buffer, "packets_duplicated")
        == total(buffer, "packets_received")
        == len(steps)
    )
    assert lost == total(buffer, "packets_lost") <= 250 * len(steps)
