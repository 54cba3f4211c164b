import itertools

import numpy as np
import pytest

from audio_codecs import open_codec
from tests.audio_codecs.vectors import read, rms, samples, snr

SPEECH = samples("speech_16000.wav")
PACKET = 160  # octets of 20 ms


def test_decoding_gives_another_programs_samples_every_one() -> None:
    codec, stream = open_codec("G722", 8000), read("g722.raw")
    heard = np.concatenate([codec.decode(stream[at : at + PACKET]) for at in range(0, len(stream), PACKET)])
    np.testing.assert_array_equal(heard, samples("g722_decoded.s16le"))


def test_packets_of_any_length_are_one_stream() -> None:
    codec, stream = open_codec("G722", 8000), read("g722.raw")
    borders = [0, 1, 3, 80, 81, 400, len(stream)]
    heard = np.concatenate([codec.decode(stream[a:b]) for a, b in itertools.pairwise(borders)])
    np.testing.assert_array_equal(heard, samples("g722_decoded.s16le"))


def test_encoding_gives_another_programs_octets() -> None:
    codec = open_codec("G722", 8000)
    octets = b"".join(codec.encode(SPEECH[at : at + 320]) for at in range(0, len(SPEECH), 320))
    assert octets == read("g722.raw")
    assert open_codec("G722", 8000).encode(SPEECH) == octets, "as many frames at once make the same"


def test_speech_comes_through_22_samples_later() -> None:
    assert snr(samples("g722_decoded.s16le"), SPEECH, delay=22) > 20


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 10, 25])
def test_after_any_loss_that_it_is_told_of_it_comes_back_without_a_blast(lost: int) -> None:
    stream = read("g722.raw")
    packets = [stream[at : at + PACKET] for at in range(0, len(stream), PACKET)]
    for first in range(8, 24, 3):
        codec = open_codec("G722", 8000)
        assert codec.lose is not None
        for packet in packets[:first]:
            codec.decode(packet)
        for _ in range(lost):
            codec.lose(0.02)
        expected = open_codec("G722", 8000)
        sound = np.concatenate([expected.decode(packet) for packet in packets])
        heard = np.concatenate([codec.decode(packet) for packet in packets])
        assert np.abs(heard.astype(int)).max() < (2.2 if lost < 4 else 1.1) * np.abs(sound.astype(int)).max()


def test_after_a_loss_the_decoder_finds_back() -> None:
    stream, expected = read("g722.raw"), samples("g722_decoded.s16le")
    packets = [stream[at : at + PACKET] for at in range(0, len(stream), PACKET)]
    for first in (5, 10, 15):
        for count in (1, 3, 5):
            codec = open_codec("G722", 8000)
            left = [*packets[:first], *packets[first + count :]]
            heard = np.concatenate([codec.decode(packet) for packet in left])[first * 320 :]
            rest = expected[(first + count) * 320 :]
            assert np.abs(heard.astype(int)).max() < 1.3 * np.abs(expected.astype(int)).max()
            late = slice(10 * 320, None)  # 200 ms on
            assert rms((heard - rest)[late]) < 0.02 * rms(rest) + 3
