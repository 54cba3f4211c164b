"""A detector as the settings name it: `auto`, `webrtc:?mode=2`, `silero:/file.onnx?threshold=0.6`, `energy`."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

from gateway.errors import ConfigError
from gateway.sinks.url import SinkUrl
from gateway.vad.base import VoiceDetector
from gateway.vad.energy import EnergyVad
from gateway.vad.silero import RATES as SILERO_RATES
from gateway.vad.silero import SileroVad, load_network
from gateway.vad.webrtc import RATES as WEBRTC_RATES
from gateway.vad.webrtc import WebRtcVad

__all__ = ["open_vad"]


def open_vad(text: str, sample_rate: int) -> VoiceDetector:
    """Make a detector for one track.

    Args:
        text: `auto` is webrtc where it is installed, else energy.
        sample_rate: Of the track, in Hz; the detector hears another where it cannot do with this one.

    Raises:
        ConfigError: There is no such detector, it is not installed, or it does not take its options.
    """
    try:
        url = SinkUrl.parse(text)
        name = url.scheme
        if name == "auto":
            name = "energy" if find_spec("webrtcvad") is None else "webrtc"
        if name not in _DETECTORS:
            raise ValueError(f"there is no such detector; there are: auto, {', '.join(_DETECTORS)}")
        return _DETECTORS[name](url, sample_rate)
    except ValueError as error:
        raise ConfigError(f"vad: {text!r}: {error}") from error


def _energy(url: SinkUrl, sample_rate: int) -> VoiceDetector:
    _only(url)
    return EnergyVad(sample_rate)


def _webrtc(url: SinkUrl, sample_rate: int) -> VoiceDetector:
    _only(url, "mode")
    mode = url.options.get("mode", "3")
    if mode not in ("0", "1", "2", "3"):
        raise ValueError(f"mode is {mode!r}, want 0 to 3")
    return WebRtcVad(_nearest(sample_rate, WEBRTC_RATES), int(mode))


def _silero(url: SinkUrl, sample_rate: int) -> VoiceDetector:
    _only(url, "threshold", path=True)
    threshold = float(url.options.get("threshold", "0.5"))
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold:g}, want more than 0 and less than 1")
    return SileroVad(load_network(url.path), _nearest(sample_rate, SILERO_RATES), threshold)


_DETECTORS: Final[Mapping[str, Callable[[SinkUrl, int], VoiceDetector]]] = {
    "webrtc": _webrtc,
    "silero": _silero,
    "energy": _energy,
}


def _nearest(sample_rate: int, rates: tuple[int, ...]) -> int:
    """The highest rate that makes nothing up; the lowest there is, where there is none."""
    return max((rate for rate in rates if rate <= sample_rate), default=min(rates))


def _only(url: SinkUrl, *names: str, path: bool = False) -> None:
    if unknown := sorted(set(url.options) - set(names)):
        raise ValueError(f"it has no option {unknown[0]!r}; it has: {', '.join(names) or 'none'}")
    if url.path and not path:
        raise ValueError(f"it takes nothing behind its name, and {url.path!r} stands there")
