import struct

import numpy as np
import pytest

from audio_codecs import ByteOrder, CodecError, Samples, decode_l16, encode_l16

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
