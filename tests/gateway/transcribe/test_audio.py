"""Frames as a service wants them."""

import numpy as np
import pytest

from audio_codecs import Samples, decode_ulaw, encode_alaw, encode_ulaw
from gateway.errors import SinkError
from gateway.media.frame import AudioFrame
from gateway.transcribe.audio import AudioFormat, Chunk, Packer
from tests.fakes import noise


class Packed:
    """A packer and what it has given."""

    def __init__(self, audio: AudioFormat, source_encoding: str = "PCMU", *, least: float = 0.06) -> None:
        self.chunks: list[Chunk] = []
        self.packer = Packer(audio, source_encoding, self.chunks.append, least=least)

    def push(self, *frames: AudioFrame) -> "Packed":
        for frame in frames:
            self.packer.push(frame)
        return self

    @property
    def octets(self) -> bytes:
        return b"".join(chunk.payload for chunk in self.chunks)


def frame(number: int, samples: Samples | None = None, **fields: bool) -> AudioFrame:
    payload = encode_ulaw(noise(160, number) if samples is None else samples)
    return AudioFrame("inbound", decode_ulaw(payload), 8000, 160 * number, payload, **fields)


def test_payloads_go_through_untouched_in_pieces_of_the_least_size() -> None:
    packed = Packed(AudioFormat("PCMU", 8000)).push(*map(frame, range(7)))
    assert [(chunk.start, chunk.end) for chunk in packed.chunks] == [(0, 0.06), (0.06, 0.12)]
    assert packed.octets == b"".join(frame(number).payload for number in range(6))
    packed.packer.finish()
    assert packed.chunks[-1] == Chunk(0.12, 0.14, frame(6).payload + bytes([0xFF]) * 320)


def test_what_was_made_up_or_is_in_another_law_is_encoded() -> None:
    made_up = AudioFrame("inbound", noise(160), 8000, 0, b"", concealed=True)
    assert Packed(AudioFormat("PCMU", 8000), least=0.02).push(made_up).octets == encode_ulaw(made_up.samples)
    packed = Packed(AudioFormat("PCMA", 8000), "PCMU", least=0.02).push(frame(1))
    assert packed.octets == encode_alaw(frame(1).samples)


def test_linear_formats_are_little_endian() -> None:
    samples = np.array([1, -2, 32767, -32768] * 40, np.int16)
    one = AudioFrame("inbound", samples, 8000, 0)
    assert Packed(AudioFormat("L16", 8000), least=0.02).push(one).octets[:8] == bytes.fromhex("0100feffff7f0080")
    floats = np.frombuffer(Packed(AudioFormat("F32", 8000), least=0.02).push(one).octets, "<f4")
    assert floats[:4] == pytest.approx([1 / 32768, -2 / 32768, 32767 / 32768, -1.0])


def test_a_short_hole_is_filled_and_a_long_one_is_a_second_without_media_time() -> None:
    packed = Packed(AudioFormat("PCMU", 8000)).push(frame(0), frame(5))
    assert packed.chunks == [Chunk(0, 0.12, frame(0).payload + bytes([0xFF]) * 640 + frame(5).payload)]
    packed.push(frame(500), frame(501), frame(502))
    _, pause, after = packed.chunks
    assert (pause.start, pause.end, len(pause.payload)) == (0.12, 0.12, 8000)
    assert (after.start, after.end) == (10.0, 10.06)


def test_a_pause_is_made_once_and_gives_what_there_is() -> None:
    packed = Packed(AudioFormat("PCMU", 8000))
    packed.packer.pause()
    assert packed.chunks == []
    packed.push(frame(0))
    packed.packer.pause()
    packed.packer.pause()
    assert [(chunk.start, chunk.end, len(chunk.payload)) for chunk in packed.chunks] == [
        (0, 0.02, 480),
        (0.02, 0.02, 8000),
    ]


def test_another_rate_is_converted_and_one_that_cannot_be_is_an_error() -> None:
    packed = Packed(AudioFormat("L16", 24_000)).push(*map(frame, range(6)))
    packed.packer.finish()
    assert len(packed.octets) >= 6 * 480 * 2
    odd = AudioFrame("inbound", noise(160), 7919, 0)
    with pytest.raises(SinkError, match="the service is sent 24000 Hz: 7919 to 24000 Hz"):
        packed.packer.push(odd)
