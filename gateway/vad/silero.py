"""Silero's detector: a small neural network, which noise seldom fools; 100 microseconds for 32 ms.

The network is a file of the package `silero-vad`, which would bring torch along; so it is installed without what it
asks for, and run by `onnxruntime` (extra `vad-silero`):

    pip install 'telnyx-media-gateway[vad-silero]' && pip install --no-deps silero-vad

The network's inputs are a hop behind the last samples of the one before (`input`), what it remembers (`state`), and the
rate (`sr`); its outputs the probability of speech, and what it remembers then.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from audio_codecs import Samples
from gateway.errors import ConfigError

__all__ = ["RATES", "Network", "SileroVad", "load_network"]

RATES: Final = (8000, 16_000)
_HOPS: Final = {8000: 256, 16_000: 512}
_CONTEXTS: Final = {8000: 32, 16_000: 64}  # samples of the hop before


class Network(Protocol):
    """What is used of an `onnxruntime.InferenceSession`; it remembers nothing, so that all calls may share it."""

    def run(self, output_names: None, input_feed: dict[str, Any], /) -> Any:
        """Work out all outputs."""


class SileroVad:
    """One track.

    Args:
        network: The network.
        sample_rate: One of `RATES`.
        threshold: Probability from which it is speech.
    """

    def __init__(self, network: Network, sample_rate: int, threshold: float = 0.5) -> None:
        self.sample_rate = sample_rate
        self.hop = _HOPS[sample_rate]
        self._run = network.run
        self._threshold = threshold
        self._rate = np.array(sample_rate, np.int64)
        self._context = _CONTEXTS[sample_rate]
        self._input = np.zeros((1, self._context + self.hop), np.float32)
        self._state: Any = None
        self.reset()

    def is_speech(self, samples: Samples) -> bool:
        """Judge 32 ms."""
        heard, context = self._input, self._context
        heard[0, :context] = heard[0, -context:]
        np.multiply(samples, np.float32(1 / 32768), out=heard[0, context:])
        probability, self._state = self._run(None, {"input": heard, "state": self._state, "sr": self._rate})
        return bool(probability[0, 0] >= self._threshold)

    def reset(self) -> None:
        """Begin anew."""
        self._input[:] = 0
        self._state = np.zeros((2, 1, 128), np.float32)


@lru_cache(maxsize=4)
def load_network(path: str = "") -> Network:
    """Load the network once for all calls.

    Args:
        path: Of its file; the one of the package `silero-vad` if empty.

    Raises:
        ConfigError: There is no such file, it is none, or there is nothing to run it with.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("the detector silero needs: pip install 'telnyx-media-gateway[vad-silero]'") from error
    file = Path(path) if path else _file_of_the_package()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = (
        1  # the event loop waits for it: no other thread helps
    )
    try:
        session: Network = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigError(f"{file} cannot be loaded: {error}") from error
    return session


def _file_of_the_package() -> Path:
    """Where the network lies; looked for without importing the package, which imports torch."""
    spec = find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "data" / "silero_vad.onnx"
        if path.is_file():
            return path
    raise ConfigError(
        "the detector silero needs its network: pip install --no-deps silero-vad, or silero:/path/to.onnx"
    )
