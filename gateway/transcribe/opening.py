"""Transcribers by what the settings call them: `deepgram:?model=nova-3`, `vosk:?url=ws://10.0.0.5:2700`.

All of them have the options `track` (`inbound`, who is on the leg; `played`, the application; `outbound`, what that
person hears, as Telnyx reports it) and, but for Telnyx's own and the local one, `url`. Keys are read from the
environment only, by the names that the services' own tools have.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from gateway.media.frame import FrameTrack
from gateway.sinks.base import AsyncAudioSink, AudioSink, SinkSource, StreamInfo
from gateway.sinks.delivery import Declared
from gateway.sinks.process import WorkerProcesses
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.assemblyai import AssemblyAI
from gateway.transcribe.deepgram import Deepgram
from gateway.transcribe.openai import OpenAI
from gateway.transcribe.pocketsphinx import NAME as LOCAL
from gateway.transcribe.pocketsphinx import local_source
from gateway.transcribe.remote import open_remote
from gateway.transcribe.segment import FINAL, PARTIAL, OnSegment, Segment
from gateway.transcribe.service import Service
from gateway.transcribe.sherpa import Sherpa
from gateway.transcribe.streaming import DELIVERY, PATIENCE, Patience, open_streaming
from gateway.transcribe.vosk import Vosk

__all__ = ["SERVICES", "open_transcriber", "streaming_source", "telling"]

SERVICES: Final[Mapping[str, Any]] = {service.name: service for service in (Deepgram, OpenAI, AssemblyAI, Vosk, Sherpa)}
"""The streaming services by their names."""

_Opened: TypeAlias = AbstractAsyncContextManager[AudioSink | AsyncAudioSink]


def make_service(config: SinkConfig, name: str, environment: Mapping[str, str] | None = None) -> Service:
    """A service as the settings want it.

    Args:
        config: What stands in the settings.
        name: One of `SERVICES`.
        environment: Has the key; the process's own if None.

    Raises:
        ValueError: An option is unknown or wrong, or there is no key.
    """
    kind = SERVICES[name]
    config.only("track", "url", *kind.options)
    url = config.options.get("url", kind.address)
    try:
        parse_uri(url)
    except InvalidURI as error:
        raise ValueError("url is none that begins with ws:// or wss://") from error
    key = ""
    if kind.variable is not None:
        key = (os.environ if environment is None else environment).get(kind.variable, "").strip()
        if not key:
            raise ValueError(f"{kind.variable} is not set")
    options = {name: value for name, value in config.options.items() if name not in ("track", "url")}
    service: Service = kind(key=key, url=url, options=options)
    return service


def track_of(config: SinkConfig) -> FrameTrack:
    """What to listen to.

    Raises:
        ValueError: There is no such track.
    """
    track = config.options.get("track", "inbound")
    if track not in get_args(FrameTrack):
        raise ValueError(f"track is {track!r}, want one of {', '.join(get_args(FrameTrack))}")
    return track  # type: ignore[return-value] # it is one of them


def streaming_source(
    config: SinkConfig,
    name: str,
    *,
    environment: Mapping[str, str] | None = None,
    patience: Patience = PATIENCE,
) -> SinkSource:
    """What makes the transcriber of each stream.

    Args:
        config: What stands in the settings.
        name: One of `SERVICES`.
        environment: Has the key; the process's own if None.
        patience: How long to wait for the service.

    Raises:
        ValueError: An option is unknown or wrong, or there is no key.
    """
    service, track = make_service(config, name, environment), track_of(config)

    def open_it(info: StreamInfo) -> _Opened:
        log = config.log.bind(stream_id=info.stream_id[:64])
        return open_streaming(service, info, track=track, patience=patience, log=log)

    return Declared(open_it, DELIVERY)


def telling(info: StreamInfo, on_segment: OnSegment) -> StreamInfo:
    """The same stream, whose segments are told to somebody else as well."""
    publish = info.publish

    def tell(event_type: str, data: Mapping[str, Any]) -> None:
        publish(event_type, data)
        if event_type in (PARTIAL, FINAL):
            on_segment(Segment.read(data))

    return msgspec.structs.replace(info, publish=tell)


@asynccontextmanager
async def open_transcriber(
    url: str,
    info: StreamInfo,
    *,
    on_segment: OnSegment | None = None,
    processes: WorkerProcesses | None = None,
    log: FilteringBoundLogger | None = None,
) -> AsyncIterator[AsyncAudioSink]:
    """Open a transcriber for an agent, which then has its call listen to it: `call.listen(sink)`.

    Args:
        url: As in the settings.
        info: Of the call.
        on_segment: Told each segment, partial and final, in the event loop; must return at once.
        processes: Where a local one is to live; a process for this call alone if None.
        log: structlog's own if None.

    Raises:
        ValueError: There is no such transcriber, or it does not take its options.
        SinkError: It cannot be opened.
    """
    parsed = SinkUrl.parse(url)
    config = SinkConfig(
        path=parsed.path, options=parsed.options, data_dir=Path(), log=structlog.get_logger() if log is None else log
    )
    if on_segment is not None:
        info = telling(info, on_segment)
    if parsed.scheme == LOCAL:
        async with open_remote(local_source(config), info, processes=processes) as remote:
            yield remote
        return
    if parsed.scheme not in SERVICES:
        raise ValueError(f"there is no transcriber {parsed.scheme!r}; there are: {', '.join([*SERVICES, LOCAL])}")
    service, track = make_service(config, parsed.scheme), track_of(config)
    async with open_streaming(service, info, track=track, log=config.log) as sink:
        yield sink
