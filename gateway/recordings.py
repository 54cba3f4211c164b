"""Recordings put together from the settings: recorder, conversion, uploads, and how long they are kept."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.sinks.base import SinkFactory
from gateway.sinks.recorder import Recorder, RecordingOptions
from gateway.sinks.recorder.complete import Completion
from gateway.sinks.recorder.converter import Converter, refusal
from gateway.sinks.recorder.recover import Recovered, recover, unfinished
from gateway.sinks.recorder.retention import keeping
from gateway.sinks.recorder.seal import load_key
from gateway.sinks.recorder.upload import UploadQueue, mark
from gateway.sinks.url import SinkConfig
from gateway.store.objects import ObjectStore

__all__ = ["open_recorder", "recorder_of", "recording_options", "recordings_folder", "recover_all"]


def recordings_folder(settings: Settings, path: str = "") -> Path:
    """Where recordings lie, by the settings or elsewhere."""
    return Path(path) if path else settings.data_dir / "recordings"


@asynccontextmanager
async def open_recorder(config: SinkConfig, settings: Settings) -> AsyncIterator[SinkFactory]:
    """`recorder`, or `wav:FOLDER` for recordings that lie elsewhere; with `RecordingOptions`, as in `?format=flac`.

    Raises:
        ConfigError: The settings are wrong, or ask for what cannot be done.
    """
    folder = recordings_folder(settings, config.path)
    options = recording_options(config.options)
    key = None if settings.recordings_key_file is None else load_key(settings.recordings_key_file)
    if (problem := refusal(options, sealed=key is not None)) is not None:
        raise ConfigError(problem)
    async with AsyncExitStack() as stack:
        completion = Completion(stack.enter_context(closing(Converter())))
        if settings.recordings_url is not None:
            store = ObjectStore(settings.recordings_url)
            uploads = await stack.enter_async_context(UploadQueue(folder, store, log=config.log))
            completion = replace(completion, before_final=mark, after_final=uploads.ready)
        if settings.recordings_keep_days is not None:
            await stack.enter_async_context(keeping(folder, settings.recordings_keep_days, log=config.log))
        recorder = await stack.enter_async_context(
            Recorder(
                folder,
                log=config.log,
                options=options,
                completion=completion,
                key=key,
                sync_seconds=settings.recordings_sync_seconds,
            )
        )
        yield recorder.open


def recover_all(settings: Settings, folder: Path) -> Iterator[Recovered]:
    """Complete every recording that a process has left behind; what became of them, one by one."""
    with closing(Converter()) as converter:
        completion = Completion(converter)
        if settings.recordings_url is not None:
            completion = replace(completion, before_final=mark)
        for place in unfinished(folder):
            if (recovered := recover(place, completion)) is not None:
                yield recovered


def recorder_of(source: object) -> Recorder | None:
    """The recorder that `open_recorder` gave, if this is from there."""
    recorder = getattr(source, "__self__", None)
    return recorder if isinstance(recorder, Recorder) else None


def recording_options(given: Mapping[str, str]) -> RecordingOptions:
    """The options in a recorder's URL.

    Raises:
        ConfigError: One of them is wrong.
    """
    try:
        options = RecordingOptions.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{name}: {problem['msg']}") from error
    if options.play_beep:
        raise ConfigError("play_beep: a tone is for recordings that are begun in a call")
    return options
