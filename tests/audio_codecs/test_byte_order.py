import numpy as np
import numpy.typing as npt
import pytest

from audio_codecs import ByteOrder, Samples
from audio_codecs.byte_order import ByteOrderDetector
from tests.audio_codecs.vectors import samples

RATES = pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 48000])
BYTE_ORDERS = pytest.mark.parametrize("byte_order", ["little", "big"])


def wire(sound: Samples, byte_order: ByteOrder) -> Samples:
    """The sound's octets on the wire, as the detector gets them: taken in the machine's own order."""
    octets = sound.astype("<i2" if byte_order == "little" else ">i2").tobytes()
    return np.frombuffer(octets, np.int16)


def listen(sound: Samples, rate: int, byte_order: ByteOrder) -> tuple[ByteOrder | None, float]:
    """What the detector says, and how many seconds it took, 20 ms at a time."""
    detector, frame = ByteOrderDetector(rate), rate // 50
    for at in range(0, len(sound), frame):
        heard = detector.listen(wire(sound[at : at + frame], byte_order))
        if heard is not None:
            return heard, (at + frame) / rate
    return None, len(sound) / rate


def clip(sound: npt.NDArray[np.floating]) -> Samples:
    clipped: Samples = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
    return clipped


def speech(rate: int, gain: float) -> Samples:
    return clip(samples(f"speech_{rate}.wav") * gain)


def sine(frequency: float, rate: int, amplitude: float) -> Samples:
    return clip(amplitude * np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate))


def noise(rate: int, level: float) -> Samples:
    return clip(np.random.default_rng(5).normal(0, level, 2 * rate))


@BYTE_ORDERS
@pytest.mark.parametrize("gain", [2.0, 1.0, 0.5, 0.1, 0.03])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_speech_shows_its_byte_order_within_200_ms(rate: int, gain: float, byte_order: ByteOrder) -> None:
    heard, seconds = listen(speech(rate, gain), rate, byte_order)
    assert heard == byte_order
    assert seconds <= 0.2


@BYTE_ORDERS
@pytest.mark.parametrize("gain", [5.0, 20.0, 100.0, 1000.0])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_no_clipped_speech_is_taken_for_the_wrong_order(rate: int, gain: float, byte_order: ByteOrder) -> None:
    assert listen(speech(rate, gain), rate, byte_order)[0] in (byte_order, None)


@BYTE_ORDERS
@RATES
def test_another_programs_sound_shows_its_byte_order(rate: int, byte_order: ByteOrder) -> None:
    octets = samples(f"l16_{rate}_{byte_order}.raw")  # taken as little-endian
    detector, frame = ByteOrderDetector(rate), rate // 50
    heard = [
        detector.listen(octets[at : at + frame].astype("<i2").view(np.int16)) for at in range(0, len(octets), frame)
    ]
    assert byte_order in heard
    assert ({"little", "big"} - {byte_order}).isdisjoint(heard)


@RATES
def test_silence_tells_nothing_however_long(rate: int) -> None:
    assert listen(np.zeros(2 * rate, np.int16), rate, "big")[0] is None


@RATES
@pytest.mark.parametrize("level", [1, 10, 50])
def test_quiet_noise_tells_nothing(rate: int, level: float) -> None:
    assert listen(noise(rate, level), rate, "big")[0] is None


@RATES
@BYTE_ORDERS
def test_sound_of_8_bits_scaled_up_tells_nothing_as_it_could_be_quiet_sound(rate: int, byte_order: ByteOrder) -> None:
    coarse = (sine(440, rate, 100) * 256).astype(np.int16)
    assert listen(coarse, rate, byte_order)[0] is None


@RATES
@BYTE_ORDERS
@pytest.mark.parametrize("amplitude", [400, 3000, 10_000, 32_000])
@pytest.mark.parametrize("frequency", [50, 300, 1000, 2100, 3400, 3990])
def test_no_tone_is_taken_for_the_wrong_order(
    frequency: float, amplitude: float, byte_order: ByteOrder, rate: int
) -> None:
    assert listen(sine(frequency, rate, amplitude), rate, byte_order)[0] in (byte_order, None)


@RATES
@BYTE_ORDERS
@pytest.mark.parametrize("level", [300, 1000, 4000, 10_000, 100_000])
def test_no_noise_is_taken_for_the_wrong_order(level: float, byte_order: ByteOrder, rate: int) -> None:
    assert listen(noise(rate, level), rate, byte_order)[0] in (byte_order, None)


@BYTE_ORDERS
def test_speech_is_still_understood_after_silence_and_a_loud_tone(byte_order: ByteOrder) -> None:
    sound = np.concatenate((np.zeros(8000, np.int16), sine(3400, 8000, 32_000), samples("speech_8000.wav")))
    heard, seconds = listen(sound, 8000, byte_order)
    assert heard == byte_order
    assert seconds <= 3.5


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_samples_tell_nothing(count: int) -> None:
    assert ByteOrderDetector(8000).listen(np.full(count, 30_000, np.int16)) is None
