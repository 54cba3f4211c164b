"""What the media services of all calls share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gateway.services.sounds import Fetch
from gateway.sinks.base import SinkSource
from gateway.sinks.recorder import Recorder
from gateway.speech.base import SpeechService

__all__ = ["FindSink", "ServiceOptions"]

FindSink: TypeAlias = Callable[[str], tuple[str, SinkSource]]
"""Finds a sink by its URL: its name for the call's record, and what makes it. Raises `ConfigError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What is set up; what is None cannot be had.

    Attributes:
        speech: Speaks texts.
        recorder: Records from when it is asked to.
        find_sink: See `FindSink`.
        fetch: Gets what a URL leads to; raises `PlaybackError`.
        media_dir: Folder of files that may be played by name.
        transcriber: URL of the transcriber that is meant where none is named.
    """

    speech: SpeechService | None = None
    recorder: Recorder | None = None
    find_sink: FindSink | None = None
    fetch: Fetch | None = None
    media_dir: Path | None = None
    transcriber: str | None = None
