"""Headers: read as others write them, refused where they are none."""

import wave
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordingError
from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Layout
from gateway.sinks.recorder.riff import parse_header, read_header, wav_header

SPEECH = Path(__file__).parents[4] / "examples" / "speech" / "booking.wav"


def test_a_header_of_another_program_is_read() -> None:
    sound, offset, data_bytes = read_header(SPEECH)
    with wave.open(str(SPEECH)) as file:
        assert (sound.sample_rate, sound.layout.channels) == (file.getframerate(), file.getnchannels())
        assert data_bytes == 2 * file.getnframes()
        file.rewind()
        assert SPEECH.read_bytes()[offset : offset + 100] == file.readframes(50)


@pytest.mark.parametrize(
    "octets", [b"", b"RIFF", b"RIFF\0\0\0\0AVI ", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata\0\0\0\0"]
)
def test_what_is_no_wav_is_refused(octets: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(octets)
    with pytest.raises(RecordingError, match=r"a\.wav is no WAV"):
        read_header(tmp_path / "a.wav")


@given(cut=st.integers(0, 120), at=st.integers(0, 119), octet=st.integers(0, 255))
def test_whatever_a_file_holds_it_is_read_or_refused(cut: int, at: int, octet: int) -> None:
    damaged = bytearray(wav_header(FileFormat(8000, ENCODINGS["PCMA"], Layout()), 26) + bytes(26))
    damaged[at : at + 1] = bytes([octet])
    with suppress(RecordingError):
        assert parse_header(BytesIO(damaged[:cut])).data_bytes <= 26


def test_a_header_has_the_same_length_however_long_the_sound_is() -> None:
    for encoding in ENCODINGS.values():
        sound = FileFormat(8000, encoding, Layout())
        assert len({len(wav_header(sound, size)) for size in (None, 0, 1000, 2**32 - 200, 2**32, 2**40)}) == 1
