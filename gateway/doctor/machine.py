"""What this machine has: the data folder, codecs, programs, open files."""

import resource
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from audio_codecs import missing_codecs
from gateway.config import Settings
from gateway.control.forward import load_or_make_signing_key, public_key_of
from gateway.doctor.finding import Finding, failed, ok, skipped, warning
from gateway.errors import ConfigError

__all__ = ["check_machine"]

_SPACE_WANTED: Final = 2**30
_SPACE_NEEDED: Final = 100 * 2**20
_FILES_PER_CALL: Final = 3
_SPARE_FILES: Final = 1200


def check_machine(
    settings: Settings,
    *,
    free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    find: Callable[[str], str | None] = shutil.which,
    most_files: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    missing: Callable[[], Iterable[str]] = missing_codecs,
) -> Iterator[Finding]:
    """Look at all of it.

    Args:
        settings: Those of the gateway.
        free: Octets that a folder has room for.
        find: Where a program is.
        most_files: How many files a process may have open; negative for any number.
        missing: The codecs that are not installed.
    """
    yield from _data_folder(settings.data_dir, free)
    yield from _keys(settings)
    yield _codecs(settings, list(missing()))
    yield from _programs(settings, find)
    yield _open_files(settings, most_files())


def _data_folder(folder: Path, free: Callable[[Path], int]) -> Iterator[Finding]:
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
            pass
        room = free(place)
    except OSError as error:
        yield failed(
            "data folder",
            f"{folder} cannot be written: {error.strerror}",
            "have GATEWAY_DATA_DIR name a folder that belongs to the user who runs the gateway",
        )
        return
    yield ok("data folder", f"{folder} can be {'written' if place == folder.absolute() else 'made'}")
    amount = f"{room / 2**30:.1f} GiB are free"
    if room < _SPACE_NEEDED:
        yield failed("disk space", amount, "make room: an hour of one recorded call takes about 115 MB")
    elif room < _SPACE_WANTED:
        yield warning("disk space", amount, "make room soon: an hour of one recorded call takes about 115 MB")
    else:
        yield ok("disk space", amount)


def _keys(settings: Settings) -> Iterator[Finding]:
    for name in ("api_key", "forward_key"):
        path = settings.data_dir / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield failed("key files", f"{path} can be read by other users", f"chmod 600 {path}")
            return
    yield ok("key files", "no key of the data folder is open to other users")
    if settings.forward_url is None:
        return
    try:
        key = public_key_of(load_or_make_signing_key(settings.data_dir))
        yield ok("forwarding key", f"forwarded webhooks verify with the public key {key}")
    except ConfigError as error:
        yield failed(
            "forwarding key", str(error), "restore the file, or delete it and give the new key to the receiver"
        )


def _codecs(settings: Settings, missing: list[str]) -> Finding:
    wanted = "MP3" if settings.stream_mode == "mp3" else settings.stream_codec
    install = "pip install 'telnyx-media-gateway[codecs]'"
    if wanted in missing:
        return failed("codecs", f"{wanted} is set and not installed", install)
    if missing:
        return warning("codecs", f"not installed: {', '.join(missing)}", f"{install}, if Telnyx is to send any of them")
    return ok("codecs", "all are installed")


def _programs(settings: Settings, find: Callable[[str], str | None]) -> Iterator[Finding]:
    speaks = (settings.speech or "").startswith("espeak")
    espeak = find("espeak-ng") or find("espeak")
    if espeak:
        yield ok("espeak", espeak)
    elif speaks:
        yield failed("espeak", "GATEWAY_SPEECH wants it, and it is not installed", "apt install espeak-ng")
    else:
        yield skipped("espeak", "not installed", "apt install espeak-ng, if texts are to be spoken without a service")
    ffmpeg = find("ffmpeg")
    # Nothing of ours runs it: codecs come with the extra. It is what people look at recordings with.
    yield ok("ffmpeg", ffmpeg) if ffmpeg else skipped("ffmpeg", "not installed; the gateway itself does not need it")


def _open_files(settings: Settings, limit: int) -> Finding:
    needed = settings.max_calls * _FILES_PER_CALL + _SPARE_FILES
    if 0 <= limit < needed:
        return failed(
            "open files",
            f"a process may have {limit} open, and {settings.max_calls} calls want {needed}",
            f"raise the hard limit (`LimitNOFILE={needed}` of systemd, `ulimit -Hn`), or lower GATEWAY_MAX_CALLS",
        )
    return ok("open files", f"a process may have {'any number' if limit < 0 else limit} open")
