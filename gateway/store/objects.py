"""Files in an object store: S3, and whatever else `obstore` knows by URL.

Keys, endpoint and region come from the environment, by the names that the store's own tools have (`AWS_...`).
"""

import asyncio
import hashlib
import importlib.util
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError, StoreError

__all__ = ["ObjectStore"]

_PART: Final = 8 * 2**20  # octets; S3 takes 10,000 parts, so files of up to 80 GiB
_AT_ONCE: Final = 2  # parts of a file
_READ: Final = 2**20  # octets
_REQUEST: Final = timedelta(minutes=5)
_RETRIES: Final = 2  # of a single request, at once; who calls has more patience


class ObjectStore:
    """Puts files there and makes sure that they have arrived.

    Args:
        url: `s3://bucket/prefix`, or any other URL that `obstore.store.from_url` takes.

    Raises:
        ConfigError: The URL leads nowhere, or the extra `s3` is not installed.
    """

    def __init__(self, url: str) -> None:
        if importlib.util.find_spec("obstore") is None:
            raise ConfigError("an object store wants the extra `s3`")
        from obstore.store import from_url

        self.url = url.rstrip("/")
        options: dict[str, Any] = {}
        if not url.startswith(("memory:", "file:")):
            options["client_options"] = {
                "timeout": _REQUEST,
                "connect_timeout": timedelta(seconds=10),
                "allow_http": True,  # only where AWS_ENDPOINT says so; the default is https
            }
            options["retry_config"] = {"max_retries": _RETRIES, "retry_timeout": _REQUEST}
        try:
            self._store: Any = from_url(url, **options)
        except Exception as error:
            raise ConfigError(f"{url!r} is no object store: {_first_line(error)}") from error

    async def put(self, path: Path, key: str, *, sha256: str, content_type: str) -> str:
        """Put a file there, over what is there, then read it back.

        Args:
            path: The file.
            key: Its name in the store, below the URL.
            sha256: Its checksum, as hex digits: what was stored must have it.
            content_type: What it holds.

        Returns:
            Its URL.

        Raises:
            StoreError: It is not there, or not as it should be.
        """
        import obstore

        try:
            await obstore.put_async(
                self._store,
                key,
                path,
                attributes={"Content-Type": content_type},
                chunk_size=_PART,
                max_concurrency=_AT_ONCE,
            )
            found = hashlib.sha256()
            got = await obstore.get_async(self._store, key)
            async for octets in got.stream(min_chunk_size=_READ):
                await asyncio.to_thread(found.update, octets)
        except Exception as error:  # obstore has a dozen, some of them Python's own
            raise StoreError(f"cannot store {key}: {_first_line(error)}") from error
        if found.hexdigest() != sha256:
            raise StoreError(f"{key} was stored as something else: SHA-256 {found.hexdigest()}, want {sha256}")
        return f"{self.url}/{key}"


def _first_line(error: Exception) -> str:
    """What went wrong; obstore has pages about how."""
    return str(error).partition("\n")[0]
