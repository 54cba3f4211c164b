import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.protocol.commands import COMMANDS, Answer, Hangup, NameValue, RetriesPolicy, StreamingStart, StreamingStop

STREAM_ID = "AEBB45BC-87dd-11f0-9d4e-02420a1f0b69"


def test_every_command_is_found_by_its_action() -> None:
    assert set(COMMANDS.values()) == {Answer, Hangup, StreamingStart, StreamingStop}
    assert all(command.action == action for action, command in COMMANDS.items())


def test_only_what_was_set_is_in_the_body() -> None:
    assert Answer().body() == {}
    assert Answer(stream_track="inbound_track", client_state=None).body() == {"stream_track": "inbound_track"}


@pytest.mark.parametrize(
    ("action", "body"),
    [
        (
            "answer",
            {
                "client_state": "c3RhdGU=",
                "command_id": "1",
                "stream_url": "wss://example.test/media",
                "stream_track": "both_tracks",
                "stream_codec": "default",
                "stream_bidirectional_mode": "rtp",
                "stream_bidirectional_codec": "AMR-WB",
                "stream_bidirectional_target_legs": "self",
                "send_silence_when_idle": True,
                "custom_headers": [{"name": "X-A", "value": "1"}],
                "record_max_length": 43_200,
                "webhook_url": "https://example.test/webhooks",
                "webhook_url_method": "GET",
                "webhook_urls": {"call.hangup": "http://example.test/hangup"},
                "webhook_retries_policies": {"call.hangup": {"retries_ms": [10_000, 50_000]}},
            },
        ),
        ("hangup", {"custom_headers": [{"name": "X-A", "value": "1"}], "reason": "nobody's there, gr\u00fcn \u4e2d"}),
        (
            "streaming_start",
            {
                "stream_url": "ws://127.0.0.1:8765/media",
                "stream_codec": "L16",
                "stream_bidirectional_sampling_rate": 16_000,
                "stream_auth_token": "t" * 4000,
                "custom_parameters": [{"name": "lang", "value": "de"}],
                "dialogflow_config": {"analyze_sentiment": True},
            },
        ),
        ("streaming_stop", {"stream_id": STREAM_ID}),
        ("streaming_stop", {"a_new_field": {"deep": [None, 1.5]}, "client_state": "c3RhdGU="}),
    ],
)
def test_a_body_is_read_and_written_as_it_was(action: str, body: dict[str, Any]) -> None:
    command = COMMANDS[action]
    assert command.model_validate(body).body() == body
    assert command.model_validate_json(json.dumps(body)).body() == body


@pytest.mark.parametrize(
    ("action", "field", "value"),
    [
        ("answer", "client_state", "no base64"),
        ("answer", "client_state", "c3RhdGU"),
        ("answer", "stream_url", "https://example.test/media"),
        ("answer", "stream_track", "inbound"),
        ("answer", "stream_codec", "pcmu"),
        ("answer", "stream_bidirectional_codec", "default"),
        ("answer", "stream_bidirectional_mode", "RTP"),
        ("answer", "send_silence_when_idle", "true"),
        ("answer", "record_custom_file_name", ""),
        ("answer", "record_max_length", 43_201),
        ("answer", "webhook_url", "ftp://example.test"),
        ("answer", "webhook_retries_policies", {"call.hangup": {"retries_ms": [1] * 6}}),
        ("answer", "webhook_retries_policies", {"call.hangup": {"retries_ms": [30_000, 30_001]}}),
        ("answer", "custom_headers", [{"name": "X-A"}]),
        ("hangup", "command_id", 7),
        ("hangup", "reason", 'a "quote"'),
        ("hangup", "reason", "a\\b"),
        ("hangup", "reason", "a\r\nb"),
        ("hangup", "reason", "\U0001f600"),
        ("streaming_start", "stream_bidirectional_sampling_rate", "8000"),
        ("streaming_start", "stream_bidirectional_sampling_rate", 44_100),
        ("streaming_start", "stream_auth_token", "t" * 4001),
        ("streaming_stop", "stream_id", "all"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(action: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        COMMANDS[action].model_validate({field: value})
    assert {problem["loc"][0] for problem in caught.value.errors()} == {field}


def test_defaults_are_those_of_the_documents() -> None:
    start = StreamingStart()
    assert (start.stream_track, start.stream_codec) == ("inbound_track", "default")
    assert (start.stream_bidirectional_mode, start.stream_bidirectional_codec) == ("mp3", "PCMU")
    assert (start.stream_bidirectional_target_legs, start.stream_bidirectional_sampling_rate) == ("opposite", 8000)


def test_parts_can_be_written_as_models() -> None:
    answer = Answer(
        sip_headers=[NameValue(name="User-to-User", value="1")],
        webhook_retries_policies={"call.hangup": RetriesPolicy(retries_ms=[500])},
    )
    assert answer.body() == {
        "sip_headers": [{"name": "User-to-User", "value": "1"}],
        "webhook_retries_policies": {"call.hangup": {"retries_ms": [500]}},
    }


def test_neither_text_nor_error_shows_the_token() -> None:
    start = StreamingStart(stream_auth_token="s3cret", stream_url="wss://example.test/s3cret", client_state="c3RhdGU=")
    assert "s3cret" not in repr(start)
    assert "c3RhdGU=" not in str(start)
    with pytest.raises(ValidationError) as caught:
        StreamingStart(stream_url="https://example.test/s3cret")
    assert "s3cret" not in str(caught.value)
