from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from audio_codecs import Samples, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

VECTORS = Path(__file__).parent.parent / "vectors"
ALL_CODES = bytes(range(256))
ALL_SAMPLES: Samples = np.arange(-32768, 32768).astype(np.int16)

Decode = Callable[[bytes], Samples]
Encode = Callable[[Samples], bytes]


def ulaw_level(code: int) -> int:
    """G.711 tables 2a and 2b: all bits inverted; y = (2 m + 33) * 2**s - 33, for 14 bits; sign bit set is positive."""
    sign, segment, mantissa = code & 0x80, ~code >> 4 & 7, ~code & 15
    level = ((2 * mantissa + 33) << segment) - 33
    return 4 * level if sign else -4 * level


def alaw_level(code: int) -> int:
    """G.711 tables 1a and 1b: even bits inverted; y = 2 m + 1, from segment 1 on (2 m + 33) * 2**(s - 1), 13 bits."""
    code ^= 0x55
    sign, segment, mantissa = code & 0x80, code >> 4 & 7, code & 15
    level = (2 * mantissa + 33) << (segment - 1) if segment else 2 * mantissa + 1
    return 8 * level if sign else -8 * level


LAWS = pytest.mark.parametrize(
    ("decode", "encode", "level", "name"),
    [
        pytest.param(decode_ulaw, encode_ulaw, ulaw_level, "pcmu", id="PCMU"),
        pytest.param(decode_alaw, encode_alaw, alaw_level, "pcma", id="PCMA"),
    ],
)


@LAWS
def test_all_codes_decode_to_the_levels_of_the_standard(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    assert decode(ALL_CODES).tolist() == [level(code) for code in ALL_CODES]


@LAWS
def test_all_codes_decode_as_another_program_decodes_them(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    expected = np.frombuffer((VECTORS / f"{name}_decoded.s16le").read_bytes(), "<i2")
    np.testing.assert_array_equal(decode(ALL_CODES), expected)


@LAWS
def test_every_level_encodes_to_its_own_code(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    again = encode(decode(ALL_CODES))
    # mu-law has two zeros, 0x7f and 0xff; the standard's encoder knows the positive one alone.
    assert [code for code in ALL_CODES if again[code] != code] == ([0x7F] if name == "pcmu" else [])
    assert decode(again).tolist() == decode(ALL_CODES).tolist()


@LAWS
def test_encoding_never_falls_where_the_samples_rise(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    assert np.all(np.diff(decode(encode(ALL_SAMPLES)).astype(int)) >= 0)


@LAWS
def test_encoding_is_the_nearest_level_but_for_known_samples_at_the_boundaries(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    levels = np.unique([level(code) for code in ALL_CODES])
    samples = ALL_SAMPLES.astype(int)
    smallest_error = np.abs(samples[:, None] - levels).min(axis=1)
    encoded = decode(encode(ALL_SAMPLES)).astype(int)
    elsewhere = np.flatnonzero(np.abs(encoded - samples) > smallest_error)
    assert len(elsewhere) == {"pcmu": 889, "pcma": 498}[name]
    nearest = levels[np.abs(samples[elsewhere, None] - levels).argmin(axis=1)]
    apart = np.searchsorted(levels, encoded[elsewhere]) - np.searchsorted(levels, nearest)
    assert set(np.abs(apart)) == {1}


@LAWS
def test_another_program_encodes_to_the_same_or_the_neighbouring_level(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    theirs = (VECTORS / f"{name}_encoded.raw").read_bytes()
    levels = np.unique([level(code) for code in ALL_CODES])
    ours_at = np.searchsorted(levels, decode(encode(ALL_SAMPLES)))
    theirs_at = np.searchsorted(levels, [level(code) for code in theirs])
    assert np.abs(ours_at - theirs_at).max() == 1
    assert np.count_nonzero(ours_at != theirs_at) == {"pcmu": 512, "pcma": 964}[name]


@LAWS
def test_no_octets_are_no_samples(decode: Decode, encode: Encode, level: Callable[[int], int], name: str) -> None:
    samples = decode(b"")
    assert samples.shape == (0,)
    assert samples.dtype == np.int16
    assert encode(samples) == b""


@LAWS
def test_samples_that_are_a_view_with_steps_encode_like_a_copy(
    decode: Decode, encode: Encode, level: Callable[[int], int], name: str
) -> None:
    assert encode(ALL_SAMPLES[::2]) == encode(ALL_SAMPLES[::2].copy())
