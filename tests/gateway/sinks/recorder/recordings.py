"""What the tests of the recorder share: streams, sounds, and recordings as a player and an operator see them."""

import json
import resource
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from audio_codecs import Samples
from gateway.sinks.base import StreamInfo


def stream_info(
    *,
    inbound: int = 8000,
    played: int = 8000,
    encoding: str = "PCMU",
    started_at: float = 1795169700.25,
    report: Callable[[], Mapping[str, Any]] = dict,
) -> StreamInfo:
    return StreamInfo(
        call_control_id="../../etc/passwd",
        stream_id="stream-1",
        call_session_id="session-1",
        inbound_encoding=encoding,
        inbound_sample_rate=inbound,
        played_encoding="L16",
        played_sample_rate=played,
        client_state=None,
        custom_parameters={},
        started_at=started_at,
        report=report,
    )


def noise(length: int, seed: int = 0) -> Samples:
    """Samples that no other stretch looks like."""
    return np.random.default_rng(seed).integers(-32768, 32768, length, dtype=np.int16)


def read_wav(path: Path) -> Samples:
    """All channels as a player sees them: int16, shape (n, channels)."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        channels = file.getnchannels()
        octets = file.readframes(file.getnframes())
    return np.frombuffer(octets, "<i2").reshape(-1, channels).astype(np.int16)


def sidecar(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "recording.json").read_text("utf-8"))
    return values


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A disk that refuses: the system lets no file of this process grow beyond `size` octets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
