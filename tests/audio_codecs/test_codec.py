import numpy as np
import pytest

from audio_codecs import CodecError, Samples, open_codec

TONE: Samples = (8000 * np.sin(np.arange(160) / 4)).astype(np.int16)


@pytest.mark.parametrize(
    ("encoding", "clock_rate", "octets"),
    [
        ("PCMU", 8000, 160),
        ("PCMA", 8000, 160),
        ("L16", 8000, 320),
        ("L16", 16000, 320),
        ("L16", 22050, 320),
        ("L16", 24000, 320),
        ("L16", 48000, 320),
    ],
)
def test_every_codec_of_the_table_encodes_and_decodes(encoding: str, clock_rate: int, octets: int) -> None:
    codec = open_codec(encoding, clock_rate)
    payload = codec.encode(TONE)
    assert (codec.encoding, codec.sample_rate, len(payload)) == (encoding, clock_rate, octets)
    again = codec.decode(payload)
    assert again.dtype == np.int16
    largest_step = 0 if encoding == "L16" else 512  # of G.711 for samples up to 8000
    assert np.abs(again.astype(int) - TONE).max() <= largest_step // 2


@pytest.mark.parametrize(
    ("encoding", "clock_rate", "saying"),
    [
        ("PCMU", 16000, "PCMU at 16000 Hz"),
        ("PCMA", 48000, "PCMA at 48000 Hz"),
        ("L16", 44100, "L16 at 44100 Hz"),
        ("L16", 0, "L16 at 0 Hz"),
        ("pcmu", 8000, "no codec for 'pcmu'"),
        ("", 8000, "no codec for ''"),
    ],
)
def test_what_is_not_in_the_table_is_a_codec_error_that_names_it(encoding: str, clock_rate: int, saying: str) -> None:
    with pytest.raises(CodecError, match=saying):
        open_codec(encoding, clock_rate)


def test_a_hostile_name_is_cut_short_in_the_error() -> None:
    with pytest.raises(CodecError) as caught:
        open_codec("x" * 100_000, 8000)
    assert len(str(caught.value)) < 120


def test_the_byte_order_is_only_asked_of_l16() -> None:
    samples = np.array([0x0102], np.int16)
    assert open_codec("L16", 8000, byte_order="little").encode(samples) == b"\x02\x01"
    assert open_codec("L16", 8000, byte_order="big").encode(samples) == b"\x01\x02"
    assert open_codec("L16", 8000, byte_order="big").decode(b"\x01\x02").tolist() == [0x0102]
    assert open_codec("PCMU", 8000, byte_order="big").encode(TONE) == open_codec("PCMU", 8000).encode(TONE)


def test_an_odd_l16_payload_is_a_codec_error_through_the_codec_as_well() -> None:
    with pytest.raises(CodecError, match="3 octets"):
        open_codec("L16", 16000).decode(b"abc")
