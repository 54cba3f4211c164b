"""Recordings that only the owner of a key can hear: chunk by chunk sealed as they are written.

A file is a line of its own, what it holds as JSON, and then chunks: each its length (4 octets, little-endian) and a
message of libsodium's secret stream (XChaCha20-Poly1305). A chunk says where its sound belongs, as the application's
sound may come after the caller's: `unseal` puts the parts in their places. Chunks can be neither changed, nor left out,
nor moved, nor cut off at the end without notice: the last one says so. A crash costs what was not yet written, and that
last chunk.

Source: libsodium documentation, "Encrypting a set of related messages", crypto_secretstream_xchacha20poly1305.
"""

import base64
import binascii
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, NewType

import msgspec
import numpy as np
from nacl import bindings
from nacl.exceptions import CryptoError

from gateway.errors import ConfigError, RecordingError
from gateway.sinks.recorder.encoding import ENCODINGS, FileFormat, Heard, Layout, Rows
from gateway.sinks.recorder.wav import WavFile, claim

__all__ = ["SealKey", "SealedFile", "load_key", "mend", "unseal"]

SealKey = NewType("SealKey", bytes)
"""32 octets that seal and unseal."""

_MAGIC: Final = b"telnyx-gateway sealed recording 1\n"
_LENGTH: Final = struct.Struct("<I")
_PLACE: Final = struct.Struct("<BQ")  # what the chunk holds, and where it belongs
_ROWS: Final = 255  # rows of the file; anything else is sound of the track of this number
_MAX_HEADER: Final = 4096
_MAX_CHUNK: Final = 1 << 26
_TAG_MESSAGE: Final = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_TAG_FINAL: Final = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_HEADER_BYTES: Final = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a sealed file says of itself without the key."""

    key: str  # which one, see `_key_id`
    sample_rate: Annotated[int, msgspec.Meta(ge=4000, le=192_000)]
    encoding: Literal["linear16", "linear8", "PCMU", "PCMA"]
    tracks: Annotated[tuple[Literal[0, 1], ...], msgspec.Meta(min_length=1, max_length=2)]
    mixed: bool

    @property
    def sound(self) -> FileFormat:
        """What it holds."""
        return FileFormat(self.sample_rate, ENCODINGS[self.encoding], Layout(self.tracks, mixed=self.mixed))


def load_key(path: Path) -> SealKey:
    """Read a key: 32 octets as base64.

    Raises:
        ConfigError: It cannot be read, or is no key.
    """
    try:
        octets = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise ConfigError(f"cannot read the key of recordings: {error}") from error
    except binascii.Error as error:
        raise ConfigError(f"{path} holds no key: want 32 octets as base64") from error
    if len(octets) != bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES:
        raise ConfigError(f"{path} holds {len(octets)} octets as base64, want 32")
    return SealKey(octets)


class SealedFile:
    """A `SoundFile` that is only ever appended to.

    Args:
        path: Its place; must not exist. Made with mode 0600.
        sound: What it holds.
        key: Seals it.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path, sound: FileFormat, key: SealKey) -> None:
        self.samples = 0
        self._sound = sound
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        begin = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        described: Any = {  # as JSON knows it: the types are checked where it is read
            "key": _key_id(key),
            "sample_rate": sound.sample_rate,
            "encoding": sound.encoding.name,
            "tracks": sound.layout.tracks,
            "mixed": sound.layout.mixed,
        }
        text = msgspec.json.encode(_Described(**described))
        self._header = _MAGIC + _LENGTH.pack(len(text)) + text
        self._size = 0  # without what a refused write has left behind
        self._cut_off = False
        self._descriptor = claim(path, new=True)
        try:
            self._append(self._header + begin)
        except OSError:
            os.close(self._descriptor)
            raise

    def write(self, position: int, heard: Heard) -> None:
        """See `SoundFile`."""
        self._put(_ROWS, position, self._sound.rows(heard), len(heard))

    def add(self, position: int, track: int, sound: Rows) -> None:
        """See `SoundFile`."""
        self._put(track, position, sound, len(sound))

    def finish(self) -> None:
        """See `SoundFile`."""
        os.ftruncate(self._descriptor, self._size)
        if not self._cut_off:
            self._seal(b"", _TAG_FINAL)

    def sync(self) -> None:
        """See `SoundFile`."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """See `SoundFile`."""
        os.close(self._descriptor)

    def _put(self, kind: int, position: int, values: Rows, length: int) -> None:
        self._seal(_PLACE.pack(kind, position) + values.tobytes(), _TAG_MESSAGE)
        self.samples = max(self.samples, position + length)

    def _seal(self, message: bytes, tag: int) -> None:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(self._state, message, self._header, tag)
        try:
            self._append(_LENGTH.pack(len(sealed)) + sealed)
        except OSError:
            self._cut_off = True  # the chain is broken here: nothing that follows could be read
            raise

    def _append(self, octets: bytes) -> None:
        rest = memoryview(octets)
        offset = self._size
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written
        self._size = offset


def unseal(path: Path, key: SealKey, target: Path) -> bool:
    """Write the WAV that a sealed file holds.

    Args:
        path: The sealed file.
        key: That it was sealed with.
        target: Must not exist. Made with mode 0600.

    Returns:
        Whether the file is whole; else it was cut off, and what was before is there.

    Raises:
        RecordingError: It is not sealed, damaged, or sealed with another key; what came before the damage is there.
        OSError: It cannot be read, or the WAV cannot be written.
    """
    with path.open("rb") as file:
        header, described = _read_header(file)
        if described.key != _key_id(key):
            raise RecordingError(f"{path.name} is sealed with another key, {described.key}")
        sound = described.sound
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        begin = file.read(_HEADER_BYTES)
        wav = WavFile(target, sound)
        try:
            if len(begin) < _HEADER_BYTES:
                return False
            bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, begin, key)
            for sealed in _chunks(file):
                try:
                    message, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, sealed, header)
                except CryptoError as error:
                    raise RecordingError(
                        f"{path.name} is damaged after {wav.samples / sound.sample_rate:.1f} s"
                    ) from error
                if tag == _TAG_FINAL:
                    return True
                _place(wav, sound, message)
            return False
        finally:
            wav.finish()
            wav.close()


def mend(path: Path, descriptor: int) -> None:
    """Cut off what a crash has left of a last chunk; needs no key.

    Args:
        path: The sealed file.
        descriptor: Of the same file, claimed.

    Raises:
        RecordingError: It is not sealed.
        OSError: It cannot be read or written.
    """
    with path.open("rb") as file:
        _read_header(file)
        end = file.seek(_HEADER_BYTES, os.SEEK_CUR)
        for sealed in _chunks(file):
            end += _LENGTH.size + len(sealed)
    os.ftruncate(descriptor, min(end, os.fstat(descriptor).st_size))


def _place(wav: WavFile, sound: FileFormat, message: bytes) -> None:
    kind, position = _PLACE.unpack_from(message)
    if kind == _ROWS:
        values: Any = np.frombuffer(message, sound.encoding.dtype, offset=_PLACE.size)
        wav.put(position, values.reshape(-1, sound.layout.channels))
    else:
        wav.add(position, kind, np.frombuffer(message, sound.waiting[0], offset=_PLACE.size))


def _read_header(file: BinaryIO) -> tuple[bytes, _Described]:
    begin = file.read(len(_MAGIC) + _LENGTH.size)
    if not begin.startswith(_MAGIC) or len(begin) < len(_MAGIC) + _LENGTH.size:
        raise RecordingError("it is no sealed recording")
    (length,) = _LENGTH.unpack_from(begin, len(_MAGIC))
    text = file.read(min(length, _MAX_HEADER))
    try:
        return begin + text, msgspec.json.decode(text, type=_Described)
    except ValueError as error:
        raise RecordingError("its header is damaged") from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The chunks that are there as a whole."""
    while len(begin := file.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(begin)
        if length > _MAX_CHUNK or len(sealed := file.read(length)) < length:
            return
        yield sealed


def _key_id(key: SealKey) -> str:
    """What tells one key from another and nothing else about it."""
    return hashlib.blake2b(key, digest_size=8, person=b"recording key").hexdigest()
