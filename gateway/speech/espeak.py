"""Speech by espeak-ng: no network, no key, a machine's voice; eleven seconds of it are made in thirty milliseconds.

A program for each text, which gets it by its standard input: a text is never an argument. It is run to its end at once
and not as the sound is needed, so that a long text does not keep a process for minutes; what it says is at most some
ten megabytes.
"""

import asyncio
import re
import shutil
import struct
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

import numpy as np

from audio_codecs import Samples
from gateway.errors import SpeechError
from gateway.speech.base import check_text

__all__ = ["EspeakSpeech"]

_PROGRAM: Final = "espeak-ng"
_HEADER: Final = 44  # octets; the lengths in it are made up
_MAX_OCTETS: Final = 32 * 2**20
_TIMEOUT: Final = 20.0
_AT_ONCE: Final = 4  # it is all CPU
_VOICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+_-]{0,63}")  # no path, and no option


class EspeakSpeech:
    """Speaks by the program `espeak-ng`.

    Args:
        voice: Its name for a voice, such as `en-us`, or `de+f3`.
        speed: Words per minute.
        pitch: 0 to 99.
        program: The program's name or path.

    Raises:
        SpeechError: It is not installed, or an option is wrong.
    """

    sample_rate: int = 22_050

    def __init__(self, *, voice: str = "en-us", speed: int = 165, pitch: int = 50, program: str = _PROGRAM) -> None:
        found = shutil.which(program)
        if found is None:
            raise SpeechError(f"the program {program} is not installed; on Debian: apt-get install espeak-ng")
        self._arguments = (found, "--stdin", "--stdout", "-b", "1", "-s", str(speed), "-p", str(pitch), "-v")
        self._voice = _check_voice(voice)
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def speak(
        self, text: str, *, voice: str | None = None, language: str | None = None
    ) -> AsyncGenerator[Samples]:
        """See `SpeechService`; a language is a voice here."""
        wanted = _check_voice(voice or (language.lower() if language else self._voice))
        async with self._at_once:
            octets = await self._run(check_text(text), wanted)
        (sample_rate,) = struct.unpack_from("<I", octets, 24) if len(octets) >= _HEADER else (0,)
        if sample_rate != self.sample_rate:
            raise SpeechError(f"voice {wanted}: {_PROGRAM} speaks at {sample_rate} Hz, want {self.sample_rate} Hz")
        samples = np.frombuffer(octets, "<i2", (len(octets) - _HEADER) // 2, _HEADER).astype(np.int16, copy=False)
        for start in range(0, len(samples), self.sample_rate):
            yield samples[start : start + self.sample_rate]

    async def _run(self, text: str, voice: str) -> bytearray:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments, voice, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise SpeechError(f"{_PROGRAM} cannot be started: {error}") from error
        try:
            async with asyncio.timeout(_TIMEOUT):
                octets = await _exchange(process, text.encode())
                status = await process.wait()
        except TimeoutError as error:
            raise SpeechError(f"{_PROGRAM} was not done within {_TIMEOUT:g} s") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if status != 0:
            raise SpeechError(f"{_PROGRAM} has failed with status {status}; is {voice} a voice of its own?")
        return octets


async def _exchange(process: asyncio.subprocess.Process, text: bytes) -> bytearray:
    """Give the text, which fits into a pipe's buffer, and read all that is said."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # its status says why
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()
    octets = bytearray()
    while piece := await process.stdout.read(65_536):
        octets += piece
        if len(octets) > _MAX_OCTETS:
            raise SpeechError(f"{_PROGRAM} says more than {_MAX_OCTETS} octets")
    return octets


def _check_voice(voice: str) -> str:
    if not _VOICE.fullmatch(voice):
        raise SpeechError(f"{voice[:20]!r} is no voice's name")
    return voice
