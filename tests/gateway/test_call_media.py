from pathlib import Path
from typing import Any

import pytest

from gateway.call_media import CallMedia
from gateway.choices import Choices
from gateway.config import Settings
from gateway.control.decider import Decider
from gateway.decision import Decision
from gateway.directory import CallDirectory
from gateway.errors import AdmissionError, ConfigError
from gateway.lifecycle import Decided
from gateway.server.admission import Admission
from gateway.sinks.null import NullSink
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log


class World:
    """The settings of a gateway, and what was decided over one call."""

    def __init__(self, log: Log, decision: Decision | None = None, **fields: Any) -> None:
        settings = Settings(data_dir=Path("unused"), **fields)
        self.admission = Admission("token", clock=lambda: 100.0)
        directory = CallDirectory(clock=lambda: 100.0)
        if decision is not None:
            directory.tell("v3:a", Decided(decision))
        self.choices = Choices(settings=settings, agent=None, agents={}, sinks={}, others={"null": ("null", NullSink)})
        self.media = CallMedia(
            settings,
            admission=self.admission,
            directory=directory,
            choices=self.choices,
            decider=Decider(log=log.logger),
        )
        self.media.stream_url = "wss://example.test/media"


def test_a_stream_is_asked_for_as_the_settings_say_and_its_token_is_the_calls(log: Log) -> None:
    world = World(log, stream_codec="L16", stream_sample_rate=16_000)
    body = world.media.streaming_start("v3:a").body()
    ticket = world.admission.redeem(body.pop("stream_auth_token"))
    assert (ticket.call_control_id, ticket.asked_codec) == ("v3:a", ("L16", 16_000))
    assert body == {
        "stream_url": "wss://example.test/media",
        "stream_track": "inbound_track",
        "stream_codec": "L16",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "L16",
        "stream_bidirectional_sampling_rate": 16_000,
        "stream_bidirectional_target_legs": "self",
    }


def test_what_was_decided_wins_over_the_settings(log: Log) -> None:
    decision = Decision(codec="G722", mode="mp3", track="both_tracks", target_legs="opposite")
    world = World(log, decision, stream_codec="L16", stream_sample_rate=16_000)
    body = world.media.streaming_start("v3:a").body()
    assert (body["stream_codec"], body["stream_bidirectional_sampling_rate"]) == ("G722", 8000)
    assert (body["stream_bidirectional_mode"], body["stream_track"]) == ("mp3", "both_tracks")
    assert body["stream_bidirectional_target_legs"] == "opposite"
    assert world.admission.redeem(body["stream_auth_token"]).asked_codec == ("MP3", 8000)


@pytest.mark.parametrize(
    ("url", "start", "end"),
    [
        ("wss://example.test/media", "wss://example.test/media/", ""),
        ("wss://example.test/media/?via=proxy", "wss://example.test/media/", "?via=proxy"),
    ],
)
def test_the_token_may_be_the_last_part_of_the_path(log: Log, url: str, start: str, end: str) -> None:
    world = World(log, stream_token_in="path")
    world.media.stream_url = url
    command = world.media.streaming_start("v3:a")
    body = command.body()
    token = body["stream_url"].removeprefix(start).removesuffix(end)
    assert world.admission.redeem(token).call_control_id == "v3:a"
    assert "stream_auth_token" not in body
    assert token not in repr(command)


async def test_no_fork_is_asked_for_where_there_are_no_ports(log: Log) -> None:
    with pytest.raises(AdmissionError, match="GATEWAY_FORK_LISTEN is not set"):
        await World(log).media.fork_start("v3:a")


@pytest.mark.parametrize(
    ("decision", "complaint"),
    [
        (Decision(agent="nobody"), "there is no agent 'nobody'"),
        (Decision(sinks=("null", "wav:?key=secret")), "there is no sink 'wav:'"),
        (Decision(media="fork"), "a fork needs GATEWAY_FORK_LISTEN"),
        (Decision(codec="PCMA", sample_rate=16_000), "PCMA has 8000 Hz only"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_refused(log: Log, decision: Decision, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        World(log).choices.check(decision)


def test_a_decision_that_can_be_carried_out_is_taken(log: Log) -> None:
    for decision in (Decision(), Decision(agent="", sinks=("null", "null")), Decision(action="reject")):
        World(log).choices.check(decision)
