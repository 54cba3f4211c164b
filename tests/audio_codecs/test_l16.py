import struct

import numpy as np
import pytest

from audio_codecs import ByteOrder, CodecError, Samples, Wire, decode_l16, encode_l16, open_codec
from tests.audio_codecs.vectors import read

ALL_SAMPLES: Samples = np.arange(-32768, 32768).astype(np.int16)
BYTE_ORDERS = pytest.mark.parametrize(("byte_order", "sign"), [("little", "<"), ("big", ">")])


@BYTE_ORDERS
def test_all_samples_decode_as_their_octets_say(byte_order: ByteOrder, sign: str) -> None:
    payload = struct.pack(f"{sign}65536h", *range(-32768, 32768))
    samples = decode_l16(payload, byte_order)
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, ALL_SAMPLES)


@BYTE_ORDERS
def test_all_samples_encode_to_their_octets(byte_order: ByteOrder, sign: str) -> None:
    assert encode_l16(ALL_SAMPLES, byte_order) == struct.pack(f"{sign}65536h", *range(-32768, 32768))


@BYTE_ORDERS
def test_no_octets_are_no_samples(byte_order: ByteOrder, sign: str) -> None:
    assert decode_l16(b"", byte_order).shape == (0,)
    assert encode_l16(ALL_SAMPLES[:0], byte_order) == b""


@BYTE_ORDERS
def test_an_odd_number_of_octets_is_a_codec_error(byte_order: ByteOrder, sign: str) -> None:
    with pytest.raises(CodecError, match="641 octets"):
        decode_l16(bytes(641), byte_order)


def test_the_network_order_of_the_standard_is_big() -> None:
    assert decode_l16(b"\x01\x02", "big").tolist() == [0x0102]


@BYTE_ORDERS
def test_samples_that_are_a_view_with_steps_encode_like_a_copy(byte_order: ByteOrder, sign: str) -> None:
    assert encode_l16(ALL_SAMPLES[::2], byte_order) == encode_l16(ALL_SAMPLES[::2].copy(), byte_order)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 48000])
def test_another_programs_files_hold_the_same_sound_in_either_order(rate: int) -> None:
    little, big = read(f"l16_{rate}_little.raw"), read(f"l16_{rate}_big.raw")
    sound = decode_l16(little, "little")
    assert len(sound) == round(0.06 * rate)
    assert 3000 < np.abs(sound.astype(int)).max() <= 32767
    np.testing.assert_array_equal(decode_l16(big, "big"), sound)
    assert (encode_l16(sound, "little"), encode_l16(sound, "big")) == (little, big)


@BYTE_ORDERS
def test_a_codec_decodes_and_encodes_as_the_functions_do(byte_order: ByteOrder, sign: str) -> None:
    codec = open_codec("L16", 48000, wire=Wire(byte_order))
    payload = struct.pack(f"{sign}65536h", *range(-32768, 32768))
    for _ in range(3):  # before and after the byte order was heard
        np.testing.assert_array_equal(codec.decode(payload), ALL_SAMPLES)
        assert codec.encode(ALL_SAMPLES) == payload
        assert codec.decode(b"").shape == (0,)
        with pytest.raises(CodecError, match="3 octets"):
            codec.decode(b"abc")
    assert codec.wire is not None
    assert codec.wire.byte_order_heard == byte_order
