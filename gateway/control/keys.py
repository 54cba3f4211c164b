"""Keys of the gateway's own: made at the first start, kept in the data folder."""

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.errors import ConfigError

__all__ = ["load_or_make_api_key", "load_or_make_secret"]

_SHORTEST = 16


def load_or_make_api_key(data_dir: Path) -> tuple[str, bool]:
    """Read `api_key` in the data folder, or make it where there is none.

    Args:
        data_dir: Made if missing.

    Returns:
        The key, and whether it was made just now and so has to be shown once.

    Raises:
        ConfigError: The file is open to other users, holds no key, or cannot be read or written.
    """
    return load_or_make_secret(data_dir / "api_key", "the API key", lambda: secrets.token_urlsafe(32))


def load_or_make_secret(path: Path, name: str, make: Callable[[], str]) -> tuple[str, bool]:
    """Read a secret from its file, or make it where there is none.

    Args:
        path: The file; its folder is made if missing.
        name: What it is, for errors.
        make: Makes one: a line of ASCII.

    Returns:
        The secret, and whether it was made just now.

    Raises:
        ConfigError: The file is open to other users, holds none, or cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = not path.exists() and _make(path, make())
        return _read(path), made
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot keep {name} in {path}: {error}") from error


def _make(path: Path, secret: str) -> bool:
    """Write a new key; False if another process was first.

    The name appears at once and with its content (a link fails where there is one), so that of two gateways that
    start together both have the same key, and a crash leaves no half of one.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # O_EXCL, mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True


def _read(path: Path) -> str:
    with path.open(encoding="ascii") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(f"{path} has mode {mode:04o}, want 0600: other users could read or change the key")
        key = file.read(4096).strip()
    if len(key) < _SHORTEST or not key.isprintable() or " " in key:
        raise ConfigError(f"{path} holds no key: want {_SHORTEST} or more printable characters without spaces")
    return key
