from typing import Any

import pytest

from gateway.control.stream_offers import StreamOffers, asks_for_stream
from gateway.decision import Decision
from gateway.protocol.commands import Answer, Command, Dial, Hangup, StreamingStart

HERE, TOKEN = "wss://gateway.example/media", "T" * 64
PARTIES: dict[str, Any] = {"connection_id": "1", "from": "+15550100002", "to": "+15550100001"}


class Fields:
    """What a stream to this gateway is asked for with; remembers for what."""

    def __init__(self, *, in_path: bool = False) -> None:
        self.in_path = in_path
        self.asked: list[tuple[str | None, Decision]] = []

    def __call__(self, call_control_id: str | None, decision: Decision) -> dict[str, Any]:
        self.asked.append((call_control_id, decision))
        encoding, sample_rate = decision.stream_codec(("L16", 16_000))
        where = {"stream_url": f"{HERE}/{TOKEN}"} if self.in_path else {"stream_url": HERE, "stream_auth_token": TOKEN}
        return where | {
            "stream_track": decision.track,
            "stream_codec": encoding,
            "stream_bidirectional_mode": decision.mode or "rtp",
            "stream_bidirectional_codec": encoding,
            "stream_bidirectional_sampling_rate": sample_rate,
            "stream_bidirectional_target_legs": decision.target_legs,
        }


def offers(fields: Fields) -> StreamOffers:
    return StreamOffers(fields, lambda: HERE)


def test_a_stream_without_a_url_comes_here_with_a_token() -> None:
    fields = Fields()
    command, token = offers(fields).fill_in(StreamingStart(), "v3:a")
    assert token == TOKEN
    assert fields.asked == [("v3:a", Decision())]
    assert command.body() == {
        "stream_url": HERE,
        "stream_auth_token": TOKEN,
        "stream_track": "inbound_track",
        "stream_codec": "L16",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "L16",
        "stream_bidirectional_sampling_rate": 16_000,
        "stream_bidirectional_target_legs": "self",
    }


def test_what_the_command_says_of_the_stream_holds() -> None:
    given: dict[str, Any] = {
        "stream_track": "both_tracks",
        "stream_bidirectional_codec": "PCMA",
        "stream_bidirectional_mode": "mp3",
        "stream_bidirectional_target_legs": "both",
    }
    command, _ = offers(Fields()).fill_in(Dial(**PARTIES, **given), None)
    body = command.body()
    assert {name: body[name] for name in given} == given
    assert (body["stream_url"], body["stream_auth_token"]) == (HERE, TOKEN)
    assert body["stream_bidirectional_sampling_rate"] == 8000
    assert body["to"] == PARTIES["to"]


def test_the_token_is_made_for_the_codec_that_is_asked_for() -> None:
    fields = Fields()
    asked = StreamingStart(stream_bidirectional_codec="L16", stream_bidirectional_sampling_rate=24_000)
    offers(fields).fill_in(asked, "v3:a")
    ((_, decision),) = fields.asked
    assert decision.stream_codec(("PCMU", 8000)) == ("L16", 24_000)


@pytest.mark.parametrize("in_path", [True, False])
def test_an_answer_takes_its_token_in_the_url_and_no_rate(*, in_path: bool) -> None:
    command, token = offers(Fields(in_path=in_path)).fill_in(Answer(stream_track="inbound_track"), "v3:a")
    body = command.body()
    assert (body["stream_url"], token) == (f"{HERE}/{TOKEN}", TOKEN)
    assert body["stream_bidirectional_codec"] == "PCMU"  # the rate is 8000, as nothing can be said of it
    assert Answer.model_validate(body).body() == body


def test_the_url_of_this_gateway_gets_a_token() -> None:
    command, token = offers(Fields()).fill_in(StreamingStart(stream_url=HERE), "v3:a")
    assert (token, command.body()["stream_auth_token"]) == (TOKEN, TOKEN)


@pytest.mark.parametrize(
    "command",
    [
        Hangup(),
        Answer(),
        Dial(**PARTIES),
        Dial(**PARTIES, stream_url="wss://elsewhere.example/media"),
        Answer(stream_url="wss://elsewhere.example/media", stream_track="both_tracks"),
        StreamingStart(stream_url=HERE, stream_auth_token="of somebody else"),
        StreamingStart(enable_dialogflow=True),
    ],
)
def test_what_asks_for_no_stream_to_here_is_left_as_it_is(command: Command) -> None:
    fields = Fields()
    assert offers(fields).fill_in(command, "v3:a") == (command, None)
    assert fields.asked == []


def test_asking_for_a_stream_is_known() -> None:
    assert asks_for_stream(StreamingStart())
    assert asks_for_stream(Dial(**PARTIES, stream_url="wss://elsewhere.example/media"))
    assert not asks_for_stream(Dial(**PARTIES))
    assert not asks_for_stream(Dial(**PARTIES, stream_establish_before_call_originate=False))
