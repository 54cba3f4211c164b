import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_codecs import open_codec
from audio_codecs.comfort_noise import COMFORT_NOISE_OCTETS, ComfortNoise
from tests.audio_codecs.vectors import rms


@pytest.mark.parametrize("level", [20, 40, 60])
@pytest.mark.parametrize("spectrum", [b"", b"\x7f", bytes([40]), bytes([220, 100, 130])])
def test_the_first_octet_is_the_level_below_overload(level: int, spectrum: bytes) -> None:
    noise = ComfortNoise().decode(bytes((level,)) + spectrum, 1600)
    assert noise.dtype == np.int16
    assert 20 * np.log10(rms(noise) / 32767) == pytest.approx(-level, abs=0.1)


def test_without_a_spectrum_it_is_white() -> None:
    noise = ComfortNoise().decode(b"\x1e", 8000).astype(float)
    power = np.abs(np.fft.rfft(noise)) ** 2
    bands = [band.mean() for band in np.array_split(power, 8)]
    assert max(bands) < 1.5 * min(bands)


@pytest.mark.parametrize(("octet", "coefficient"), [(27, -0.787), (77, -0.394), (127, 0.0), (177, 0.394), (227, 0.787)])
def test_one_coefficient_is_the_correlation_of_neighbours_with_its_sign_turned(octet: int, coefficient: float) -> None:
    """RFC 3389 section 3.2: k = 258 (N - 127) / 32768; the all-pole model of order 1 is 1 / (1 + k / z)."""
    noise = ComfortNoise().decode(bytes((30, octet)), 16_000).astype(float)
    assert np.corrcoef(noise[1:], noise[:-1])[0, 1] == pytest.approx(-coefficient, abs=0.03)


def test_no_two_pieces_are_alike() -> None:
    noise = ComfortNoise()
    assert noise.decode(b"\x1e", 160).tolist() != noise.decode(b"\x1e", 160).tolist()


@given(st.binary(min_size=1, max_size=COMFORT_NOISE_OCTETS), st.integers(1, 2000))
def test_any_octets_make_noise_of_the_length_asked_for(payload: bytes, n: int) -> None:
    noise = ComfortNoise().decode(payload, n)
    assert noise.shape == (n,)
    assert noise.dtype == np.int16


@pytest.mark.parametrize(
    ("encoding", "has"),
    [("PCMU", True), ("PCMA", True), ("G722", True), ("L16", False), ("OPUS", False), ("AMR-WB", False)],
)
def test_codecs_without_pauses_of_their_own_have_it(encoding: str, has: bool) -> None:
    assert (open_codec(encoding, 8000).comfort_noise is not None) is has
