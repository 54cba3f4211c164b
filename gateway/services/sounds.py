"""Sound to be played that has to be fetched first, or comes again and again."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from audio_codecs import Samples
from gateway.errors import MediaServiceError, PlaybackError
from gateway.sound.source import Source, read_source

__all__ = ["Fetch", "Loop", "check_loop", "is_url", "media_file", "read_sound"]

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]
Loop: TypeAlias = int | Literal["infinity"]
"""How often something is played: 1 to 100, or until it is stopped."""


def is_url(source: object) -> bool:
    """Whether this is to be fetched, and not a path."""
    return isinstance(source, str) and source[:8].lower().startswith(("http://", "https://"))


def check_loop(loop: Loop, source: Source) -> None:
    """See that a source can be played so often.

    Raises:
        PlaybackError: It cannot.
    """
    if loop != "infinity" and not 1 <= loop <= 100:
        raise PlaybackError(f"loop is {loop!r}, want 1 to 100, or 'infinity'")
    if loop != 1 and not isinstance(source, str | bytes | np.ndarray | Path):
        raise PlaybackError("what is still being made can be played once only")


async def read_sound(
    source: Source, sample_rate: int | None, *, to_rate: int, loop: Loop = 1, fetch: Fetch | None
) -> AsyncGenerator[Samples]:
    """As `read_source`, and also of a URL, and more than once.

    Args:
        source: As there, or a URL of `http` or `https`.
        sample_rate: As there.
        to_rate: As there.
        loop: How often.
        fetch: Gets what a URL leads to; None: nothing can be fetched here.
    """
    if is_url(source):
        if fetch is None:
            raise PlaybackError("nothing is fetched by URL here")
        source = await fetch(str(source))
    for _ in count() if loop == "infinity" else range(loop):
        length = 0
        async with aclosing(read_source(source, sample_rate, to_rate=to_rate)) as pieces:
            async for samples in pieces:
                length += len(samples)
                yield samples
        if not length:
            return  # nothing, over and over, would never wait for anybody


def media_file(folder: Path | None, name: str) -> Path:
    """A file below the folder of media files, by its name there.

    Raises:
        MediaServiceError: There is no such folder or file; or the name leads out of it.
    """
    if folder is None:
        raise MediaServiceError("media_name: there are none, as GATEWAY_MEDIA_DIR is not set", status=503)
    try:
        root = folder.resolve(strict=True)
        path = (root / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise MediaServiceError("media_name: there is no such file", status=404) from error
    if not path.is_relative_to(root) or not path.is_file():
        raise MediaServiceError("media_name: there is no such file", status=404)
    return path
