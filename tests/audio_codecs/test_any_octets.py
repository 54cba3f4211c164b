"""Whatever comes, a codec gives samples or CodecError, in bounds, and goes on working."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audio_codecs import CodecError, open_codec
from tests.audio_codecs.vectors import payloads, read

LONGEST: dict[tuple[str, int], Callable[[int], int]] = {  # samples, for a payload of n octets
    ("PCMU", 8000): lambda n: n,
    ("PCMA", 8000): lambda n: n,
    ("L16", 16000): lambda n: n // 2,
    ("G722", 8000): lambda n: 2 * n,
    ("OPUS", 8000): lambda _: 960,
    ("OPUS", 16000): lambda _: 1920,
    ("OPUS", 48000): lambda _: 5760,
    ("AMR-WB", 16000): lambda n: 320 * min(1500, 8 * n // 6),
    ("MP3", 8000): lambda n: 1152 * n,
}
GOOD = {
    "G722": [read("g722.raw")[:160]],
    "OPUS": payloads("opus_16000.rtp")[:8],
    "AMR-WB": [*payloads("amr_wb_2.rtp")[:4], *payloads("amr_wb_2_efficient.rtp")[:4]],
    "MP3": [read("mp3_8000.mp3")],
}
CODECS = pytest.mark.parametrize(("encoding", "clock_rate"), LONGEST)
COMFORT_NOISE = b"\x28", b"\x28\x3c\x80\x7f\x81\x7f\x80\x7f\x7f\x80\x7f"


@st.composite
def damaged(draw: st.DrawFn, encoding: str) -> bytes:
    """A good payload with some octets changed, cut, or doubled."""
    payload = bytearray(draw(st.sampled_from(GOOD.get(encoding, [bytes(160)]))))
    for at, octet in draw(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)):
        payload[at % len(payload)] = octet
    return bytes(payload[: draw(st.integers(0, len(payload)))] * draw(st.integers(1, 3)))


@CODECS
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_stream_of_octets_gives_samples_or_codec_errors(
    encoding: str, clock_rate: int, data: st.DataObject
) -> None:
    codec = open_codec(encoding, clock_rate)
    several = st.lists(st.binary(max_size=200) | damaged(encoding) | st.sampled_from(COMFORT_NOISE), max_size=12)
    for payload in data.draw(several):
        try:
            samples = codec.decode(payload)
        except CodecError:
            continue
        assert samples.dtype == np.int16
        assert samples.ndim == 1
        assert len(samples) <= LONGEST[encoding, clock_rate](len(payload))
    if codec.conceal is not None:
        assert codec.conceal(320).shape == (320,)
    for good in GOOD.get(encoding, [])[:1]:
        assert len(codec.decode(good)) >= 160, "what came before must not spoil what comes"


@CODECS
@pytest.mark.parametrize("octets", [b"\x00", b"\xff", b"\x7c", b"\xfc", b"\x4c", b"\xff\xfb\x90\x00", b"\xf8\xff\xfe"])
def test_a_huge_payload_ends_soon(encoding: str, clock_rate: int, octets: bytes) -> None:
    payload = octets * (200_000 // len(octets))
    try:
        samples = open_codec(encoding, clock_rate).decode(payload)
    except CodecError:
        return
    assert len(samples) <= LONGEST[encoding, clock_rate](len(payload))


@CODECS
@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=8))
@example([-32768, 32767])
@example([0])
@settings(max_examples=20, deadline=None)
def test_any_samples_are_encoded_and_come_back_as_many(encoding: str, clock_rate: int, levels: list[int]) -> None:
    try:
        codec = open_codec(encoding, clock_rate, to_send=True)
    except CodecError as error:
        pytest.skip(str(error))
    sound = np.resize(np.array(levels, np.int16), codec.sample_rate // 50)
    assert len(codec.decode(codec.encode(sound))) == len(sound)
