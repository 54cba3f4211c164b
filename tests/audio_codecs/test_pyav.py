"""What the codecs ask of PyAV beyond its documentation, watched here for each version of it."""

import gc
from pathlib import Path

import numpy as np
import pytest

from audio_codecs import open_codec

TASKS = Path("/proc/self/task")
SOUND = np.rint(6000 * np.sin(np.arange(320) / 9)).astype(np.int16)


@pytest.mark.skipif(not TASKS.is_dir(), reason="only Linux tells the threads of a process there")
def test_a_call_costs_no_thread() -> None:
    opened = [open_codec(encoding, 16000) for encoding in ("G722", "OPUS") for _ in range(10)]
    before = len(list(TASKS.iterdir()))
    for codec in opened:
        codec.decode(codec.encode(SOUND))
    assert len(list(TASKS.iterdir())) == before


@pytest.mark.parametrize("encoding", ["G722", "OPUS"])
def test_what_was_decoded_outlives_the_codec_and_later_packets(encoding: str) -> None:
    codec = open_codec(encoding, 16000)
    packets = [codec.encode(SOUND) for _ in range(20)]
    heard = [codec.decode(packet) for packet in packets]
    before = [piece.copy() for piece in heard]
    for packet in packets * 10:
        codec.decode(packet)
    del codec
    gc.collect()
    for piece, copy in zip(heard, before, strict=True):
        np.testing.assert_array_equal(piece, copy)


@pytest.mark.parametrize("encoding", ["G722", "OPUS"])
def test_every_frame_gives_its_packet_at_once(encoding: str) -> None:
    codec = open_codec(encoding, 16000)
    assert all(codec.encode(SOUND) for _ in range(50))
