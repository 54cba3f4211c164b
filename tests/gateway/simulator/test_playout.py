"""What the person on the leg hears of what the application sends."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import Codec, Samples, encode_mp3, open_codec
from gateway.simulator.journal import Heard, Inlet, Journal
from gateway.simulator.playout import Playout, PlayoutError
from gateway.simulator.switches import Switches

L16 = open_codec("L16", 8000)
FRAME = 160


def sound(samples: int, first: int = 1) -> Samples:
    return np.arange(first, first + samples, dtype=np.int16)


def open_playout(*, position: int = 0, codec: Codec | None = L16, **switches: Any) -> tuple[Playout, Heard]:
    journal = Journal(8000)
    journal.position(100.0 - position / 8000)
    playout = Playout(codec, Inlet(journal).hear, start=100.0, sample_rate=8000, switches=Switches(**switches))
    return playout, journal.heard


def push(playout: Playout, samples: Samples, now: float) -> list[str]:
    return playout.push_audio(L16.encode(samples), now=now)


def test_sound_is_played_in_ticks_of_20_ms() -> None:
    playout, heard = open_playout()
    push(playout, sound(2 * FRAME), 100.001)  # the first tick has passed
    playout.advance(100.019)
    assert heard.pieces == []
    playout.advance(100.020)
    assert heard.pieces == [(FRAME, FRAME)]
    playout.advance(100.041)
    assert heard.pieces == [(FRAME, 2 * FRAME)]
    np.testing.assert_array_equal(heard.samples()[FRAME:], sound(2 * FRAME))


def test_a_pause_parts_the_pieces_and_is_silent() -> None:
    playout, heard = open_playout(position=800)
    push(playout, sound(FRAME), 99.9)
    push(playout, sound(FRAME, 500), 100.05)
    playout.advance(100.2)
    assert heard.pieces == [(800, FRAME), (800 + 3 * FRAME, FRAME)]
    line = heard.samples()
    assert not line[:800].any()
    assert not line[800 + FRAME : 800 + 3 * FRAME].any()
    np.testing.assert_array_equal(line[-FRAME:], sound(FRAME, 500))


def test_a_message_that_is_no_whole_number_of_ticks_is_joined_to_the_next() -> None:
    playout, heard = open_playout()
    push(playout, sound(FRAME + 40), 99.9)
    push(playout, sound(FRAME, FRAME + 41), 99.9)
    playout.advance(101)
    assert heard.pieces == [(0, 2 * FRAME + 40)]
    np.testing.assert_array_equal(heard.samples(), sound(2 * FRAME + 40))


def test_a_mark_comes_back_when_the_sound_before_it_has_ended() -> None:
    playout, _ = open_playout()
    push(playout, sound(2 * FRAME), 99.9)
    assert playout.push_mark("end", now=99.9) == []
    assert playout.advance(100.02) == []  # the second tick begins
    assert playout.advance(100.039) == []
    assert playout.advance(100.04) == ["end"]


def test_a_mark_on_an_idle_stream_comes_back_at_once() -> None:
    playout, _ = open_playout()
    assert playout.push_mark("a", now=100.5) == ["a"]
    push(playout, sound(FRAME), 100.501)
    assert playout.push_mark("b", now=100.521) == []  # the tick at 100.520 plays until 100.540
    assert playout.advance(100.54) == ["b"]


def test_a_mark_in_the_midst_of_a_tick_waits_for_its_end() -> None:
    playout, _ = open_playout()
    push(playout, sound(FRAME + 80), 99.9)
    playout.push_mark("midst", now=99.9)
    push(playout, sound(FRAME), 99.9)
    assert playout.advance(100.02) == []
    assert playout.advance(100.04) == ["midst"]


def test_clear_drops_the_sound_and_returns_every_mark_in_order() -> None:
    playout, heard = open_playout()
    push(playout, sound(FRAME + 80), 99.9)
    playout.push_mark("one", now=99.9)
    push(playout, sound(FRAME), 99.9)
    playout.push_mark("two", now=99.9)
    playout.push_mark("three", now=99.9)
    assert playout.clear(now=100.025) == ["one", "two", "three"]
    assert playout.advance(101) == []
    assert heard.pieces == [(0, 2 * FRAME)]
    assert playout.push_mark("idle", now=101.001) == ["idle"]


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "0 ms"),
        (bytes(2 * FRAME - 2), "19.875 ms"),
        (bytes(2 * (30 * 8000 + 1)), "30000.1 ms"),
        (b"odd", "3 octets"),
    ],
)
def test_sound_out_of_the_documented_limits_is_refused(payload: bytes, complaint: str) -> None:
    playout, heard = open_playout()
    with pytest.raises(PlayoutError, match=complaint) as caught:
        playout.push_audio(payload, now=100.0)
    assert caught.value.code == 100004
    playout.advance(101)
    assert heard.pieces == []


def test_the_queue_is_bounded() -> None:
    playout, _ = open_playout()
    for _ in range(20):
        push(playout, sound(30 * 8000 // 10), 99.0)
        push(playout, np.zeros(27 * 8000, np.int16), 99.0)
    with pytest.raises(PlayoutError, match="600 s") as caught:
        push(playout, sound(FRAME), 99.0)
    assert caught.value.code == 100005
    playout.clear(now=99.0)
    push(playout, sound(FRAME), 99.0)
    for number in range(1000):
        playout.push_mark(str(number), now=99.0)
    with pytest.raises(PlayoutError, match="1000 marks"):
        playout.push_mark("one too many", now=99.0)


def test_in_mode_mp3_codec_octets_are_not_heard() -> None:
    playout, heard = open_playout(codec=None)
    assert playout.push_audio(bytes(160), now=100.0) == []
    assert playout.push_mark("at once", now=100.0) == ["at once"]
    playout.advance(101.0)
    assert heard.pieces == []
    assert playout.ignored == "160 octets that are no MP3 file"


def test_in_mode_mp3_files_are_heard_one_after_the_other_and_one_may_come_a_second() -> None:
    voice = np.round(8000 * np.sin(np.arange(8000) / 3)).astype(np.int16)
    playout, heard = open_playout(codec=None)
    playout.push_audio(encode_mp3(voice, 8000), now=100.0)
    with pytest.raises(PlayoutError, match="1 media messages a second") as caught:
        playout.push_audio(encode_mp3(voice, 8000), now=100.5)
    assert caught.value.code == 100005
    playout.push_mark("first", now=100.5)
    playout.push_audio(encode_mp3(np.repeat(voice, 2), 16_000), now=101.0)
    assert playout.advance(101.1) == ["first"]
    playout.advance(104.0)
    ((start, length),) = heard.pieces
    assert abs(length - 16_000) < 200
    assert np.abs(heard.samples()[start + 1000 : start + 7000]).max() > 7000


def test_what_is_no_file_in_mode_mp3_may_be_an_error() -> None:
    playout, _ = open_playout(codec=None, mp3_garbage="error")
    with pytest.raises(PlayoutError, match="mode is mp3") as caught:
        playout.push_audio(b"\xff\xfb" + bytes(300), now=100.0)
    assert caught.value.code == 100004


@pytest.mark.parametrize(("encoding", "rate"), [("L16", 16_000), ("L16", 22_050), ("L16", 48_000), ("G722", 8000)])
def test_sound_of_other_rates_is_heard_at_the_legs(encoding: str, rate: int) -> None:
    codec = open_codec(encoding, rate, to_send=True)
    tone = 8000 * np.sin(2 * np.pi * 400 * np.arange(codec.sample_rate) / codec.sample_rate)
    playout, heard = open_playout(codec=open_codec(encoding, rate))
    playout.push_audio(codec.encode(np.round(tone).astype(np.int16)), now=99.9)
    playout.advance(102.0)
    assert sum(length for _, length in heard.pieces) == pytest.approx(8000, abs=2)
    spectrum = np.abs(np.fft.rfft(heard.samples()[1000:5000]))
    assert int(np.argmax(spectrum)) == 200  # 400 Hz in bins of 2 Hz


@pytest.mark.parametrize("octets", [100, 2 * 31 * 8000])
def test_switches_let_short_and_long_messages_play(octets: int) -> None:
    playout, heard = open_playout(short_media="play", long_media="play")
    playout.push_audio(bytes(octets), now=99.9)
    playout.advance(200.0)
    assert sum(length for _, length in heard.pieces) == octets // 2


def test_a_switch_limits_the_messages_of_mode_rtp() -> None:
    playout, _ = open_playout(rtp_messages=3)
    for _ in range(3):
        push(playout, sound(FRAME), 100.0)
    with pytest.raises(PlayoutError) as caught:
        push(playout, sound(FRAME), 100.9)
    assert caught.value.code == 100005
    push(playout, sound(FRAME), 101.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 0.1), st.one_of(st.just("mark"), st.integers(FRAME, 1000))),
        max_size=40,
    )
)
def test_whatever_comes_all_sound_is_heard_in_order_and_each_mark_once(arrivals: list[tuple[float, str | int]]) -> None:
    playout, heard = open_playout()
    now, position = 100.0, 0
    sent: list[str] = []
    back: list[str] = []
    for wait, item in arrivals:
        now += wait
        if isinstance(item, int):
            back += push(playout, sound(item, position), now)
            position += item
        else:
            sent.append(f"mark {len(sent)}")
            back += playout.push_mark(sent[-1], now=now)
    back += playout.advance(now + 60)
    assert back == sent
    line = heard.samples()
    pieces = [line[start : start + length] for start, length in heard.pieces]
    np.testing.assert_array_equal(np.concatenate([*pieces, sound(0)]), np.arange(position).astype(np.int16))
