"""What the media services of all calls need, opened from the settings."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from structlog.typing import FilteringBoundLogger

from gateway.config import Settings
from gateway.errors import ConfigError, SpeechError
from gateway.plugins import find_sink
from gateway.recordings import open_recorder, recorder_of, recording_options
from gateway.services.fetch import open_fetcher
from gateway.services.options import FindSink, ServiceOptions
from gateway.sinks.base import SinkSource
from gateway.sinks.recorder import Recorder
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.speech import open_speech

__all__ = ["open_services"]


async def open_services(
    settings: Settings,
    *,
    sinks: Mapping[str, tuple[str, SinkSource]],
    stack: AsyncExitStack,
    log: FilteringBoundLogger,
) -> ServiceOptions:
    """Open what the settings ask for.

    Args:
        settings: All of them.
        sinks: Those that the settings and the program name, by that: the name for a record, and what makes them.
        stack: Closes what was opened.
        log: Where things are told.

    Raises:
        ConfigError: A setting is wrong.
    """
    try:
        speech = None if settings.speech is None else await stack.enter_async_context(open_speech(settings.speech))
    except SpeechError as error:
        raise ConfigError(f"GATEWAY_SPEECH: {error}") from error
    fetcher = await stack.enter_async_context(open_fetcher(allow_private=settings.play_private_urls))
    recorder = await _recorder(settings, sinks, stack, log)
    find = _finder(settings, sinks, recorder, log)
    if settings.transcriber is not None:
        try:
            find(settings.transcriber)
        except ConfigError as error:
            raise ConfigError(f"GATEWAY_TRANSCRIBER: {error}") from error
    return ServiceOptions(
        speech=speech,
        recorder=recorder,
        find_sink=find,
        fetch=fetcher.fetch,
        media_dir=settings.media_dir,
        transcriber=settings.transcriber,
    )


async def _recorder(
    settings: Settings, sinks: Mapping[str, tuple[str, SinkSource]], stack: AsyncExitStack, log: FilteringBoundLogger
) -> Recorder:
    """The recorder of the usual folder: that of the sinks, or one more, as two would be in each other's way."""
    for text, (_, source) in sinks.items():
        found = recorder_of(source)
        if found is not None and text.partition("?")[0].rstrip(":") in ("recorder", "wav"):
            return found
    config = SinkConfig(path="", options={}, data_dir=settings.data_dir, log=log)
    opened = recorder_of(await stack.enter_async_context(open_recorder(config, settings)))
    assert opened is not None
    return opened


def _finder(
    settings: Settings, sinks: Mapping[str, tuple[str, SinkSource]], recorder: Recorder, log: FilteringBoundLogger
) -> FindSink:
    def find(text: str) -> tuple[str, SinkSource]:
        if text in sinks:
            return sinks[text]
        try:
            url = SinkUrl.parse(text)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if url.scheme in ("recorder", "wav") and not url.path:
            options = recording_options(url.options)
            return "recorder", partial(recorder.open, options=options)
        return find_sink(text, settings, trusted=text == settings.transcriber, log=log)

    return find
