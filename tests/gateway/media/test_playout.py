import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import Samples
from gateway.media.ear import OWN_MARK
from gateway.media.flight import FRAME_SECONDS, Piece
from gateway.media.playback import PlaybackFinished, PlaybackLedger
from gateway.media.playout import Playout
from gateway.media.utterance import Utterance
from tests.fakes import noise

RATE = 8000
FRAME = 160


def make(
    *,
    lead: float = 0.16,
    rate: int = RATE,
    message: float = FRAME_SECONDS,
    phase: float | None = None,
    max_queued: float = 600.0,
    here: Callable[[], int] = lambda: 0,
    finished: list[PlaybackFinished] | None = None,
) -> Playout:
    """A playout whose payloads are the samples' own octets; what is over is put into `finished`."""

    def on_finished(utterance: Utterance) -> None:
        assert utterance.finished is not None
        if finished is not None:
            finished.append(utterance.finished)

    return Playout(
        lambda samples: samples.tobytes(),
        rate,
        here=here,
        ledger=PlaybackLedger(rate, on_finished=on_finished),
        lead=lead,
        message=message,
        phase=phase,
        max_queued=max_queued,
    )


def others(due: Sequence[bytes | str]) -> list[bytes | str]:
    """What is to leave, but for the playout's own marks."""
    return [item for item in due if isinstance(item, bytes) or not item.startswith(OWN_MARK)]


class Caller:
    """A caller's channel that is far ahead each time somebody looks: whatever starts anew shows by its position."""

    def __init__(self) -> None:
        self.position = 0

    def __call__(self) -> int:
        self.position += 1_000_000
        return self.position


def starts(pieces: Iterable[Piece]) -> list[bool]:
    """Which pieces do not continue the one before."""
    end, result = -1, []
    for piece in pieces:
        result.append(piece.position != end)
        end = piece.position + len(piece.samples)
    return result


def sound(payloads: Sequence[bytes | str]) -> Samples:
    return np.frombuffer(b"".join(item for item in payloads if isinstance(item, bytes)), np.int16)


# --- when it leaves and when it is heard ---------------------------------------------------------------------------


def test_sound_with_nothing_before_it_leaves_at_once_and_is_due_at_once() -> None:
    playout = make()
    samples = noise(FRAME)
    assert list(playout.push(samples, now=5.0)) == [samples.tobytes()]
    assert playout.pop(now=5.0) == []
    (piece,) = playout.in_flight
    assert piece.deadline == 5.0
    ((position, heard),) = playout.heard(now=5.0)
    assert position == 0
    assert np.array_equal(heard, samples)
    assert playout.queue.queued == 0


@pytest.mark.parametrize(("lead", "pieces"), [(0.02, 2), (0.159, 8), (0.161, 9), (0.51, 26), (5.0, 50)])
def test_the_lead_is_a_ceiling_on_what_leaves_at_once(lead: float, pieces: int) -> None:
    playout = make(lead=lead)
    # The one that is due, and those that are due within the lead.
    assert len(others(playout.push(noise(RATE), now=0.0))) == pieces
    assert playout.pop(now=0.0) == []


def test_a_second_pushed_at_once_leaves_a_piece_each_20_ms_after_the_first_ones() -> None:
    playout = make(lead=0.16)
    sent = len(playout.push(noise(RATE), now=0.0))
    assert sent in (8, 9)  # the ninth stands on the edge
    while playout.queue.queued:
        at = playout.deadline()
        assert at is not None
        assert at == pytest.approx(sent * FRAME_SECONDS - 0.16)
        assert playout.pop(now=at - 1e-6) == []
        assert len(others(playout.pop(now=at))) == 1
        sent += 1
    assert sent == 50


@given(st.lists(st.floats(0.0005, 0.15), min_size=1, max_size=40), st.floats(0.0, 1e6))
def test_deadlines_are_20_ms_apart_whenever_the_pacer_comes(pauses: list[float], start: float) -> None:
    playout = make(here=Caller())
    playout.push(noise(3 * RATE), now=start)
    pieces: list[Piece] = []
    for now in accumulate(pauses, initial=start):
        playout.pop(now=now)
        due = [piece for piece in playout.in_flight if piece.deadline <= now + 1e-6]  # a sum, so not exact
        heard = playout.heard(now=now)
        assert sum(len(samples) for _, samples in heard) == FRAME * len(due)
        pieces += due
    pieces += playout.in_flight
    for number, piece in enumerate(pieces):
        assert piece.deadline == pytest.approx(start + number * FRAME_SECONDS, abs=1e-6)
    assert starts(pieces) == [True] + [False] * (len(pieces) - 1)
    assert playout.underruns == 0


def test_sound_that_follows_in_time_continues_the_utterance() -> None:
    playout = make(here=Caller())
    for number in range(10):
        now = 1.0 + number * 0.015  # faster than it is heard
        assert len(playout.push(noise(FRAME), now=now)) == 1
    pieces = list(playout.in_flight)
    assert [piece.deadline for piece in pieces] == pytest.approx([1.0 + 0.02 * number for number in range(10)])
    assert starts(pieces) == [True] + [False] * 9
    assert len(playout.heard(now=2.0)) == 1  # gapless, so in one


def test_sound_that_comes_late_is_due_as_it_comes_and_starts_anew() -> None:
    playout = make(here=Caller())
    for now in (0.0, 0.05):
        playout.push(noise(FRAME), now=now)
    first, second = playout.in_flight
    assert (first.deadline, second.deadline) == (0.0, 0.05)
    assert starts((first, second)) == [True, True]
    assert [position for position, _ in playout.heard(now=0.05)] == [1_000_000, 2_000_000]
    assert playout.underruns == 1


@pytest.mark.parametrize(("pause", "underruns"), [(0.01, 0), (0.039, 0), (0.041, 1), (0.9, 1), (1.1, 0)])
def test_a_hole_within_an_utterance_is_an_underrun_and_a_pause_is_not(pause: float, underruns: int) -> None:
    playout = make()
    for now in (0.0, pause):
        playout.push(noise(FRAME), now=now)
    assert playout.underruns == underruns


def test_a_mark_ends_the_utterance_so_what_comes_later_is_no_underrun() -> None:
    playout = make(here=Caller())
    playout.push(noise(FRAME), now=0.0)
    playout.queue.push_mark("end")
    playout.pop(now=0.0)
    playout.push(noise(FRAME), now=0.5)
    assert playout.underruns == 0
    assert starts(playout.in_flight) == [True, True]


def test_a_stall_longer_than_the_lead_makes_one_hole_and_loses_nothing() -> None:
    playout = make(lead=0.1, here=Caller())
    samples = noise(RATE)
    payloads = list(playout.push(samples, now=0.0))
    now = 0.4  # the event loop stood still
    while playout.queue.queued:
        payloads += playout.pop(now=now)
        now += 0.02
    pieces = list(playout.in_flight)
    assert np.array_equal(sound(payloads), samples)
    assert [piece.deadline for piece, new in zip(pieces, starts(pieces), strict=True) if new] == [0.0, 0.4]
    assert playout.underruns == 1


# --- cutting -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_pieces_of_any_length_are_cut_anew_to_20_ms(lengths: list[int]) -> None:
    playout = make(lead=100.0)
    samples = noise(sum(lengths))
    whole: list[bytes | str] = []
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        whole += others(playout.push(samples[end - length : end], now=0.0))
    assert playout.pop(now=0.0) == []
    assert all(len(payload) == 2 * FRAME for payload in whole)
    assert len(whole) == len(samples) // FRAME
    assert playout.queue.queued == len(samples) % FRAME
    tail = others(playout.pop(now=max(FRAME_SECONDS, FRAME_SECONDS * len(whole))))
    assert playout.queue.queued == 0
    heard = sound(whole + tail)
    assert np.array_equal(heard[: len(samples)], samples)
    assert len(heard) == math.ceil(len(samples) / FRAME) * FRAME
    assert not heard[len(samples) :].any()
    assert playout.frames_sent == len(whole) + len(tail)


def test_a_tail_waits_20_ms_for_more_and_is_then_filled_up_with_silence() -> None:
    playout = make()
    samples = noise(100)
    assert playout.push(samples, now=0.0) == []
    assert playout.pop(now=0.0199) == []
    assert playout.deadline() == 0.02
    (payload,) = playout.pop(now=0.02)
    assert isinstance(payload, bytes)
    assert payload == samples.tobytes() + bytes(2 * 60)


def test_a_tail_that_gets_more_in_time_is_not_filled_up() -> None:
    playout = make()
    samples = noise(FRAME)
    assert playout.push(samples[:100], now=0.0) == []
    assert playout.push(samples[100:], now=0.015) == [samples.tobytes()]
    assert playout.queue.queued == 0


def test_a_producer_with_chunks_of_its_own_length_is_torn_for_no_longer_than_the_lead() -> None:
    playout = make(lead=0.16)
    samples = noise(10 * RATE)
    payloads: list[bytes | str] = []
    for at in range(0, len(samples), 256):  # 32 ms, as they are recorded somewhere
        chunk_comes = at / RATE
        while (deadline := playout.deadline()) is not None and deadline < chunk_comes:
            payloads += playout.pop(now=deadline)
        payloads += playout.push(samples[at : at + 256], now=chunk_comes)
    assert playout.underruns == 0
    heard = sound(payloads + playout.pop(now=11.0))
    assert np.array_equal(heard[heard != 0], samples[samples != 0])
    assert len(heard) - len(samples) <= 0.18 * RATE


def test_a_tail_before_a_mark_is_filled_up_at_once() -> None:
    playout = make()
    samples = noise(200)
    (first,) = playout.push(samples, now=0.0)
    playout.queue.push_mark("end")
    second, mark = playout.pop(now=0.0)
    assert mark == "end"
    assert np.array_equal(sound([first, second]), np.concatenate([samples, np.zeros(120, np.int16)]))


# --- longer messages -----------------------------------------------------------------------------------------------


def lengths(due: Sequence[bytes | str]) -> list[int]:
    """Of the messages with sound, in frames."""
    return [len(item) // (2 * FRAME) for item in due if isinstance(item, bytes)]


def test_what_waits_leaves_in_long_messages_and_is_heard_in_pieces_of_20_ms() -> None:
    playout = make(message=0.1)
    samples = noise(RATE // 2)
    sent = list(playout.push(samples, now=0.0))
    assert lengths(sent) == [5, 5]  # the second begins within the lead
    at = playout.deadline()
    assert at is not None
    assert at == pytest.approx(0.04)
    sent += playout.pop(now=at)
    assert lengths(sent) == [5, 5, 5]
    assert [len(piece.samples) for piece in playout.in_flight] == 15 * [FRAME]
    assert [piece.deadline for piece in playout.in_flight] == pytest.approx([0.02 * n for n in range(15)])
    sent += playout.pop(now=1.0)
    assert np.array_equal(sound(sent), samples)


def test_what_comes_as_it_is_said_leaves_at_once_whatever_a_message_may_hold() -> None:
    playout = make(message=0.2)
    for number in range(10):
        assert lengths(playout.push(noise(FRAME), now=0.02 * number)) == [1]


def test_a_message_is_never_longer_than_what_there_is_in_whole_frames() -> None:
    playout = make(message=0.2)
    assert lengths(playout.push(noise(3 * FRAME + 50), now=0.0)) == [3]
    assert lengths(playout.pop(now=0.1)) == [1]


# --- the ticks of a call -------------------------------------------------------------------------------------------


def leaving_times(playout: Playout, now: float) -> list[float]:
    """When each piece leaves that waits now, if they are taken at each deadline."""
    times: list[float] = []
    while playout.queue.queued:
        deadline = playout.deadline()
        assert deadline is not None
        assert deadline > now
        now = deadline
        left = others(playout.pop(now=now))
        assert left
        times += [now] * len(left)
    return times


@pytest.mark.parametrize("phase", [0.0025, 0.0075, 0.0175])
@pytest.mark.parametrize("start", [0.0, 3.0071, 86_400.019])
def test_sound_that_waits_leaves_on_the_ticks_of_its_call_and_never_too_late(phase: float, start: float) -> None:
    playout = make(lead=0.16, phase=phase)
    at_once = len(others(playout.push(noise(RATE), now=start)))
    times = leaving_times(playout, start)
    assert len(times) == 50 - at_once
    assert [(time - phase + 1e-6) % FRAME_SECONDS for time in times] == pytest.approx([0.0] * len(times), abs=1e-5)
    for number, time in enumerate(times, at_once):
        due = start + number * FRAME_SECONDS
        assert due - 0.16 - 1e-6 <= time <= due - 0.14 + 1e-6


@given(st.sampled_from([0.02, 0.03, 0.04, 0.06]), st.floats(0, 0.02), st.floats(0, 100))
def test_a_short_lead_is_not_given_up_for_the_ticks(lead: float, phase: float, start: float) -> None:
    playout = make(lead=lead, phase=phase)
    at_once = len(others(playout.push(noise(RATE // 5), now=start)))
    for number, time in enumerate(leaving_times(playout, start), at_once):
        assert time + 0.006 < start + number * FRAME_SECONDS + 1e-6  # the pacer comes up to 6 ms late


# --- marks ---------------------------------------------------------------------------------------------------------


def test_marks_leave_directly_behind_the_sound_before_them() -> None:
    playout = make(lead=0.01)
    playout.queue.push_mark("first")
    assert playout.pop(now=0.0) == ["first"]
    samples = noise(3 * FRAME)
    assert list(playout.push(samples[:FRAME], now=0.0)) == [samples[:FRAME].tobytes()]
    playout.queue.push_mark("second")
    playout.queue.push_mark("third")
    assert others(playout.push(samples[FRAME:], now=0.0)) == ["second", "third"]
    playout.queue.push_mark("fourth")
    assert others(playout.pop(now=0.01)) == [samples[FRAME : 2 * FRAME].tobytes()]
    assert others(playout.pop(now=0.03)) == [samples[2 * FRAME :].tobytes(), "fourth"]


def test_a_tail_before_a_mark_leaves_in_its_time_even_if_a_tail_behind_the_mark_may_grow() -> None:
    playout = make(lead=0.03)
    assert len(playout.push(noise(2 * FRAME + 40), now=0.0)) == 2
    playout.queue.push_mark("sentence")
    playout.push(noise(40), now=0.005)
    assert playout.deadline() == pytest.approx(0.01)
    first, mark = playout.pop(now=0.0101)
    assert mark == "sentence"
    assert len(first) == 2 * FRAME
    assert playout.deadline() == pytest.approx(0.03)  # when it could leave; it is done growing at 0.025


# --- the bound -----------------------------------------------------------------------------------------------------


def test_what_is_pushed_beyond_the_bound_is_dropped_and_counted() -> None:
    playout = make(lead=0.01, max_queued=1.0)
    samples = noise(2 * RATE)
    payloads = list(playout.push(samples[:FRAME], now=0.0))
    payloads += playout.push(samples[FRAME : RATE + 60], now=0.0)
    assert (playout.queue.queued, playout.queue.samples_dropped) == (RATE - 100, 0)
    payloads += playout.push(samples[RATE + 60 :], now=0.0)
    assert (playout.queue.queued, playout.queue.samples_dropped) == (RATE, RATE - FRAME)
    assert playout.push(samples, now=0.0) == []
    assert (playout.queue.queued, playout.queue.samples_dropped) == (RATE, 3 * RATE - FRAME)
    for tick in range(1, 60):
        payloads += playout.pop(now=0.02 * tick)
    assert np.array_equal(sound(payloads), samples[: RATE + FRAME])


# --- clear ---------------------------------------------------------------------------------------------------------


def test_clear_forgets_all_that_was_not_heard_and_counts_it() -> None:
    playout = make(lead=0.09)
    assert len(playout.push(noise(RATE), now=0.0)) == 5
    playout.queue.push_mark("end")
    assert [len(samples) for _, samples in playout.heard(now=0.03)] == [2 * FRAME]
    assert playout.clear() == ["end"]
    assert playout.samples_cleared == RATE - 2 * FRAME
    assert (playout.queue.queued, len(playout.in_flight), playout.deadline()) == (0, 0, None)
    assert playout.pop(now=10.0) == []
    assert playout.heard(now=10.0) == []


def test_sound_after_clear_leaves_at_once_and_starts_anew() -> None:
    playout = make()
    playout.push(noise(RATE + 50), now=0.0)
    playout.heard(now=0.01)
    playout.clear()
    fresh = noise(FRAME, seed=2)
    assert list(playout.push(fresh, now=0.01)) == [fresh.tobytes()]
    ((position, heard),) = playout.heard(now=0.01)
    assert position == FRAME  # where the cleared sound would have stood
    assert np.array_equal(heard, fresh)
    assert playout.underruns == 0


@pytest.mark.parametrize(("caller", "position"), [(0, 3 * FRAME), (1000, 1000)])
def test_sound_after_clear_stands_behind_what_was_heard_or_where_the_caller_is(caller: int, position: int) -> None:
    at = 0
    playout = make(here=lambda: at)
    playout.push(noise(10 * FRAME), now=0.0)
    playout.heard(now=0.05)  # three pieces
    playout.clear()
    at = caller
    playout.push(noise(FRAME), now=0.05)
    assert [piece.position for piece in playout.in_flight] == [position]


def test_gapless_pieces_are_heard_as_one_and_those_apart_are_not() -> None:
    at = 0
    playout = make(here=lambda: at)
    samples = noise(5 * FRAME)
    playout.push(samples[: 3 * FRAME], now=0.0)
    at = 4000
    playout.push(samples[3 * FRAME :], now=0.5)
    first, second = playout.heard(now=1.0)
    assert (first[0], second[0]) == (0, 4000)
    assert np.array_equal(np.concatenate([first[1], second[1]]), samples)
