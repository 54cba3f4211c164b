from collections.abc import Callable

import numpy as np
import pytest

from audio_codecs import Samples, decode_l16, decode_ulaw, encode_ulaw, open_codec
from gateway.media.frame import AudioFrame
from gateway.media.utterance import Utterance
from gateway.player import Player
from tests.fakes import FakeWire, noise

FRAME = 160


def make(
    *, encoding: str = "PCMU", sample_rate: int = 8000, lead: float = 0.16, here: Callable[[], int] = lambda: 0
) -> tuple[Player, FakeWire]:
    wire = FakeWire()
    codec = open_codec(encoding, sample_rate)
    return Player(wire.stream, codec, transmit=wire.transmit, here=here, lead=lead), wire


class Caller:
    """How far the caller's channel has come, in samples."""

    def __init__(self, position: int = 0) -> None:
        self.position = position

    def __call__(self) -> int:
        return self.position


def places(frames: list[AudioFrame]) -> list[int]:
    return [frame.timestamp for frame in frames]


def tone(seconds: float, sample_rate: int) -> Samples:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (10_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


# --- on the wire ---------------------------------------------------------------------------------------------------


def test_sound_becomes_messages_of_20_ms_in_the_codec() -> None:
    player, wire = make()
    samples = noise(3 * FRAME)
    player.send_audio(samples, 8000, 0.0)
    assert wire.payloads() == [encode_ulaw(samples[at : at + FRAME]) for at in range(0, 480, FRAME)]


def test_what_may_not_leave_yet_leaves_in_its_time() -> None:
    player, wire = make(lead=0.05)
    player.send_audio(noise(5 * FRAME), 8000, 0.0)
    assert wire.script() == ["media"] * 3
    deadline = player.deadline()
    assert deadline == pytest.approx(0.01)
    player.send_due(now=0.01)
    player.send_due(now=0.0301)
    assert wire.script() == ["media"] * 5


def test_a_mark_leaves_behind_the_sound_before_it() -> None:
    player, wire = make(lead=0.03)
    player.mark("before", now=0.0)
    player.send_audio(noise(3 * FRAME), 8000, 0.0)
    player.mark("behind", now=0.0)
    assert wire.script() == ["before", "media", "media"]
    player.send_due(now=0.011)
    assert wire.script() == ["before", "media", "media", "media", "behind"]


def test_clear_is_sent_and_the_sound_from_before_it_never_is() -> None:
    player, wire = make()
    player.send_audio(noise(8000), 8000, 0.0)
    sent = len(wire.sent)
    player.clear(now=0.0)
    player.send_due(now=10.0)
    assert wire.script()[sent:] == ["clear"]
    assert player.heard(now=10.0) == []
    assert player.describe()["samples_cleared"] == 8000


def test_a_mark_whose_sound_was_cleared_is_sent_behind_clear_so_that_telnyx_returns_it() -> None:
    player, wire = make()
    player.send_audio(noise(8000), 8000, 0.0)
    player.mark("end of the sentence", now=0.0)
    player.send_audio(noise(100), 8000, 0.0)
    player.mark("end of the story", now=0.0)
    player.clear(now=0.0)
    assert wire.script()[-3:] == ["clear", "end of the sentence", "end of the story"]


def test_clear_is_sent_even_if_nothing_is_queued_here() -> None:
    player, wire = make()
    player.clear(now=0.0)
    assert wire.script() == ["clear"]


# --- other rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 48_000])
def test_sound_at_another_rate_is_converted_to_the_streams_own(sample_rate: int) -> None:
    player, wire = make(encoding="L16", sample_rate=8000, lead=5.0)
    player.send_audio(tone(1.0, sample_rate), sample_rate, 0.0)
    heard = decode_l16(b"".join(wire.payloads()), byte_order="little")
    assert len(heard) == 8000
    steady = slice(400, 7600)
    delay = 24  # samples of the lower rate, see Resampler
    expected = tone(1.0, 8000)[400 - delay : 7600 - delay]
    assert np.abs(heard[steady].astype(int) - expected).max() < 150


def test_chunks_at_another_rate_sound_as_one_piece_does() -> None:
    whole, heard_whole = make(lead=5.0)
    chunked, heard_chunked = make(lead=5.0)
    samples = tone(1.0, 24_000)
    whole.send_audio(samples, 24_000, 0.0)
    for at in range(0, len(samples), 480):
        chunked.send_audio(samples[at : at + 480], 24_000, 0.0)
    assert heard_chunked.payloads() == heard_whole.payloads()


def test_clear_forgets_what_the_conversion_remembered() -> None:
    player, wire = make()
    samples = tone(0.02, 16_000)
    player.send_audio(samples, 16_000, 0.0)
    player.send_audio(noise(320), 16_000, 0.0)
    player.clear(now=0.01)
    player.send_audio(samples, 16_000, 0.01)
    first, *_, last = wire.payloads()
    assert last == first


# --- on the time line ----------------------------------------------------------------------------------------------


def test_an_utterance_stands_where_the_caller_stood_as_it_began_and_is_contiguous() -> None:
    caller = Caller(8000)
    player, _ = make(here=caller)
    samples = noise(4 * FRAME)
    player.send_audio(samples, 8000, 1.0)
    frames = player.heard(now=1.0)
    caller.position = 8480  # the caller's channel went on by more than was heard
    frames += player.heard(now=1.03)
    frames += player.heard(now=1.10)
    assert places(frames) == [8000, 8160, 8320]
    assert {(frame.track, frame.sample_rate) for frame in frames} == {("played", 8000)}
    assert np.array_equal(np.concatenate([frame.samples for frame in frames]), samples)


def test_an_utterance_after_a_pause_stands_at_the_callers_present_position() -> None:
    caller = Caller()
    player, _ = make(here=caller)
    player.send_audio(noise(FRAME), 8000, 0.0)
    caller.position = 16_000
    player.send_audio(noise(FRAME), 8000, 2.0)
    caller.position = 99_000  # too late to matter: it was heard when it left
    assert places(player.heard(now=9.0)) == [0, 16_000]


def test_an_utterance_never_stands_before_the_end_of_the_last_one() -> None:
    player, _ = make(here=Caller(800))  # the caller's channel stands still: no packets come
    player.send_audio(noise(3 * FRAME), 8000, 0.0)
    frames = player.heard(now=0.5)
    player.send_audio(noise(FRAME), 8000, 1.0)
    frames += player.heard(now=1.0)
    assert places(frames) == [800, 1280]


def test_an_underrun_begins_a_new_position() -> None:
    caller = Caller()
    player, _ = make(here=caller)
    for now in (0.0, 0.02, 0.1):
        caller.position = round(8000 * now)
        player.send_audio(noise(FRAME), 8000, now)
    frames = player.heard(now=1.0)
    assert [(frame.timestamp, len(frame.samples)) for frame in frames] == [(0, 320), (800, 160)]
    assert player.describe()["underruns"] == 1


def test_cleared_sound_takes_no_place() -> None:
    caller = Caller()
    player, _ = make(here=caller)
    player.send_audio(noise(10 * FRAME), 8000, 0.0)
    frames = player.heard(now=0.03)
    player.clear(now=0.03)
    caller.position = 240
    player.send_audio(noise(FRAME), 8000, 0.03)
    frames += player.heard(now=0.03)
    assert places(frames) == [0, 320]  # the later of the end, 320, and the caller's 240


def test_what_is_heard_is_what_the_codec_was_given() -> None:
    player, wire = make()
    player.send_audio(noise(100), 8000, 0.0)
    player.mark("end", now=0.0)
    (frame,) = player.heard(now=0.0)
    (payload,) = wire.payloads()
    assert len(frame.samples) == FRAME  # the tail with the silence that fills it up
    assert np.array_equal(decode_ulaw(payload), decode_ulaw(encode_ulaw(frame.samples)))


# --- when the socket falls -----------------------------------------------------------------------------------------


def test_nothing_is_sent_without_a_socket_and_what_waits_goes_on_with_the_next() -> None:
    player, wire = make(lead=0.05)
    samples = noise(10 * FRAME)
    player.send_audio(samples, 8000, 0.0)
    sent = len(wire.payloads())
    player.link_lost()
    player.send_due(now=0.5)
    player.send_audio(noise(FRAME, seed=2), 8000, 0.5)
    assert player.deadline() is None
    assert len(wire.payloads()) == sent
    assert sum(len(frame.samples) for frame in player.heard(now=0.5)) == sent * FRAME  # left to be heard
    next_wire = FakeWire()
    player.reconnect(next_wire.stream, next_wire.transmit, now=2.0)
    for tick in range(20):
        player.send_due(now=2.0 + 0.02 * tick)
    assert len(wire.payloads()) == sent
    rest = np.concatenate((samples[sent * FRAME :], noise(FRAME, seed=2)))
    assert next_wire.payloads() == [encode_ulaw(piece) for piece in np.split(rest, len(rest) // FRAME)]


def test_what_was_sent_before_the_socket_fell_is_heard_by_estimate() -> None:
    finished: list[Utterance] = []
    wire = FakeWire()
    codec = open_codec("PCMU", 8000)
    player = Player(wire.stream, codec, transmit=wire.transmit, here=lambda: 0, on_finished=finished.append, lead=0.16)
    player.send_audio(noise(3 * FRAME), 8000, 0.0)
    player.end_speech(now=0.0)
    player.link_lost()
    player.heard(now=1.0)
    (utterance,) = finished
    assert utterance.finished is not None
    assert (utterance.finished.heard, utterance.finished.estimated) == (60, True)
    assert not utterance.finished.interrupted


def test_marks_that_did_not_come_back_are_asked_for_again_on_the_next_socket() -> None:
    player, _ = make()
    player.mark("returned", now=0.0)
    assert player.mark_returned("returned", now=0.0)
    player.mark("not returned", now=0.0)
    player.send_audio(noise(FRAME), 8000, 0.0)
    player.clear(now=0.0)  # its echo is under way
    player.mark("behind it", now=0.0)
    player.link_lost()
    player.mark("meanwhile", now=1.0)
    next_wire = FakeWire()
    player.reconnect(next_wire.stream, next_wire.transmit, now=2.0)
    assert next_wire.script() == ["not returned", "behind it", "meanwhile"]
    assert player.mark_returned("behind it", now=2.1)


def test_a_pause_outlives_the_socket() -> None:
    player, _ = make()
    player.send_audio(noise(4 * FRAME), 8000, 0.0)
    player.heard(now=0.0)
    player.pause()
    player.link_lost()
    next_wire = FakeWire()
    player.reconnect(next_wire.stream, next_wire.transmit, now=1.0)
    assert next_wire.script() == []
    player.resume(now=1.0)
    assert next_wire.script() == ["media"] * 3


def test_a_newer_socket_may_come_before_the_older_is_known_to_be_gone() -> None:
    player, wire = make(lead=0.03)
    player.send_audio(noise(5 * FRAME), 8000, 0.0)
    next_wire = FakeWire()
    player.reconnect(next_wire.stream, next_wire.transmit, now=0.02)
    player.send_due(now=0.1)
    assert len(wire.payloads()) + len(next_wire.payloads()) == 5
