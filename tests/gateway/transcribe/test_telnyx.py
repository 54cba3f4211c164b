"""Telnyx's own transcription: its events as segments, its commands by a sink."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.errors import CallEndedError, ControlError
from gateway.protocol.commands import Command
from gateway.protocol.events import CallTranscription
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.segment import FINAL, PARTIAL, Segment
from gateway.transcribe.telnyx import segment_of, tell_transcription, telnyx_source
from tests.gateway.sinks.streams import Sinks, stream_info

OCCURRED = "2026-11-20T10:00:07.500000Z"
BEGAN = 1_795_168_800.0  # 10:00:00


def event(**data: Any) -> CallTranscription:
    said = {"transcript": " Hello there ", "confidence": 0.9, "is_final": True, "transcription_track": "inbound"} | data
    return CallTranscription.read(
        {
            "id": "e1",
            "event_type": "call.transcription",
            "occurred_at": OCCURRED,
            "payload": {"call_control_id": "v3:call", "transcription_data": said},
        }
    )


def test_an_event_becomes_a_segment_where_it_occurred() -> None:
    assert segment_of(event(), started_at=BEGAN) == Segment(
        text="Hello there", start=7.5, end=7.5, final=True, confidence=0.9, transcriber="telnyx"
    )
    other = segment_of(event(is_final=False, transcription_track="outbound"), started_at=None)
    assert other is not None
    assert (other.final, other.track, other.start) == (False, "outbound", 0.0)


@pytest.mark.parametrize("data", [{"transcript": " "}, {"transcript": None}])
def test_an_event_without_words_says_nothing(data: dict[str, Any]) -> None:
    assert segment_of(event(**data), started_at=BEGAN) is None


def test_what_is_said_is_published_for_its_call() -> None:
    told: list[tuple[str, str, str]] = []

    def publish(call_control_id: str, event_type: str, data: Any) -> None:
        told.append((call_control_id, event_type, data["text"]))

    for one in (event(is_final=False), event(), event(transcript="")):
        tell_transcription(one, started_at=BEGAN, publish=publish)
    assert told == [("v3:call", PARTIAL, "Hello there"), ("v3:call", FINAL, "Hello there")]


class Telnyx:
    """Takes commands; `error` is raised by the next."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.error: ControlError | None = None

    async def command(self, call_control_id: str, command: Command) -> None:
        assert call_control_id == "v3:call"
        self.sent.append((command.action, command.model_dump(mode="json", exclude_unset=True)))
        if self.error is not None:
            raise self.error


def source(telnyx: Telnyx, url: str = "telnyx:") -> Any:
    parsed = SinkUrl.parse(url)
    config = SinkConfig(path=parsed.path, options=parsed.options, data_dir=Path(), log=structlog.get_logger())
    return telnyx_source(config, telnyx.command)


async def test_a_stream_is_transcribed_from_its_beginning_to_its_end() -> None:
    telnyx = Telnyx()
    url = "telnyx:?transcription_engine=Google&transcription_tracks=both&language=de&interim_results=true"
    sinks = Sinks({"telnyx": source(telnyx, url)})
    async with sinks.running(stream_info()):
        pass
    start, stop = telnyx.sent
    assert start[0] == "transcription_start"
    assert start[1]["transcription_tracks"] == "both"
    config = start[1]["transcription_engine_config"]
    assert (config["language"], config["interim_results"]) == ("de", True)
    assert stop[0] == "transcription_stop"
    assert sinks.told("telnyx")["state"] == "closed"


async def test_a_refusal_is_the_sink_s_failure_and_the_end_of_the_call_is_none() -> None:
    telnyx = Telnyx()
    telnyx.error = ControlError("transcription_start: 90054: already running", status=422, code="90054")
    sinks = Sinks({"telnyx": source(telnyx)})
    async with sinks.running(stream_info()):
        pass
    assert sinks.told("telnyx")["error"].startswith("SinkError: Telnyx does not transcribe: transcription_start: 90054")

    ended = Telnyx()
    sinks = Sinks({"telnyx": source(ended)})
    with capture_logs() as logs:
        async with sinks.running(stream_info()):
            ended.error = CallEndedError("over", status=422, code="90018")
    assert (sinks.told("telnyx")["state"], logs) == ("closed", [])


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("telnyx:?transcription_engine=Gogle", "transcription_engine"),
        ("telnyx:?language=klingon", "language"),
        ("telnyx:?transcription_tracks=all", "transcription_tracks"),
        ("telnyx:path", "takes nothing behind its name"),
    ],
)
def test_what_telnyx_does_not_have_is_refused_as_the_gateway_starts(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        source(Telnyx(), url)
