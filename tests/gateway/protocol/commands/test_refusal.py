"""How a wrong command is refused: the code, the field, the words."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import ControlError, MalformedCommandError
from gateway.protocol.commands import COMMANDS, Answer, parse_command, refusals
from tests.gateway.protocol.fields import samples

SAMPLES = samples("commands")
RATE = "stream_bidirectional_sampling_rate"
ENGINE = "noise_suppression_engine_config"


@pytest.mark.parametrize(
    ("action", "fields", "code", "pointer"),
    [
        ("answer", {"client_state": "no base64"}, "90017", "/client_state"),
        ("answer", {"client_state": "c3RhdGU"}, "90017", "/client_state"),
        ("answer", {"client_state": 7}, "10026", "/client_state"),
        ("answer", {"stream_url": "https://example.test/media"}, "10027", "/stream_url"),
        ("answer", {"stream_track": "inbound"}, "10032", "/stream_track"),
        ("answer", {"stream_codec": "pcmu"}, "10032", "/stream_codec"),
        ("answer", {"stream_bidirectional_codec": "default"}, "10032", "/stream_bidirectional_codec"),
        ("answer", {"send_silence_when_idle": "true"}, "10026", "/send_silence_when_idle"),
        ("answer", {"preferred_codecs": "PCMU,GSM"}, "10027", "/preferred_codecs"),
        ("answer", {"record_custom_file_name": ""}, "10033", "/record_custom_file_name"),
        ("answer", {"record_max_length": 43_201}, "10033", "/record_max_length"),
        ("answer", {"record_timeout_secs": -1}, "90049", "/record_timeout_secs"),
        ("answer", {"record_format": "ogg"}, "90000", "/record_format"),
        ("answer", {"record_channels": "mono"}, "90001", "/record_channels"),
        ("answer", {"webhook_url": "ftp://example.test"}, "10027", "/webhook_url"),
        ("answer", {"webhook_urls": {"call.hangup": 7}}, "10026", "/webhook_urls/call.hangup"),
        ("answer", {"webhook_urls": {"a/b~c": ["ftp://x"]}}, "10027", "/webhook_urls/a~1b~0c/0"),
        (
            "answer",
            {"webhook_retries_policies": {"call.hangup": {"retries_ms": [1] * 6}}},
            "10033",
            "/webhook_retries_policies/call.hangup/retries_ms",
        ),
        (
            "answer",
            {"webhook_retries_policies": {"call.hangup": {"retries_ms": [30_000, 30_001]}}},
            "10027",
            "/webhook_retries_policies/call.hangup/retries_ms",
        ),
        ("answer", {"custom_headers": [{"name": "X-A"}]}, "10004", "/custom_headers/0/value"),
        ("answer", {"sip_headers": [{"name": "X-A", "value": "1"}]}, "10032", "/sip_headers/0/name"),
        ("answer", {"deepfake_detection": {"timeout": 5}}, "10004", "/deepfake_detection/enabled"),
        (
            "answer",
            {"transcription_config": {"transcription_engine_config": {"transcription_engine": "Google", "hints": 1}}},
            "10026",
            "/transcription_config/transcription_engine_config/hints",
        ),
        ("dial", {"to": 15550100002}, "10026", "/to"),
        ("dial", {"to": []}, "10033", "/to"),
        ("dial", {"to": ["+15550100002", ""]}, "10033", "/to/1"),
        ("dial", {"timeout_secs": 4}, "90028", "/timeout_secs"),
        ("dial", {"time_limit_secs": 14_401}, "90029", "/time_limit_secs"),
        ("dial", {"from_display_name": "x" * 129}, "10033", "/from_display_name"),
        ("dial", {"send_digits_on_answer": "1x"}, "10027", "/send_digits_on_answer"),
        ("dial", {"stream_auth_token": "t" * 4001}, "10033", "/stream_auth_token"),
        ("dial", {"bridge_on_answer": True}, "10004", "/link_to"),
        ("dial", {"audio_url": "https://a.test", "media_name": "a"}, "10027", "/media_name"),
        ("hangup", {"command_id": 7}, "10026", "/command_id"),
        ("hangup", {"reason": 'a "quote"'}, "10027", "/reason"),
        ("hangup", {"reason": "a\\b"}, "10027", "/reason"),
        ("hangup", {"reason": "a\r\nb"}, "10027", "/reason"),
        ("hangup", {"reason": "\U0001f600"}, "10027", "/reason"),
        ("reject", {"cause": "BUSY"}, "10032", "/cause"),
        ("bridge", {"queue": "support"}, "10027", "/queue"),
        ("bridge", {"video_room_context": "x"}, "10004", "/video_room_id"),
        ("transfer", {"target_leg_client_state": "no base64"}, "90017", "/target_leg_client_state"),
        ("enqueue", {"queue_name": ""}, "10033", "/queue_name"),
        ("send_dtmf", {"digits": "12e"}, "90014", "/digits"),
        ("send_dtmf", {"duration_millis": 99}, "90027", "/duration_millis"),
        ("send_dtmf", {"duration_millis": 501}, "90027", "/duration_millis"),
        ("streaming_start", {RATE: 44_100}, "10032", f"/{RATE}"),
        ("streaming_start", {RATE: "8000"}, "10032", f"/{RATE}"),
        ("streaming_stop", {"stream_id": "all"}, "10027", "/stream_id"),
        ("fork_start", {"rx": "192.0.2.1:9000"}, "10027", "/rx"),
        ("fork_start", {"tx": None}, "10004", "/tx"),
        ("fork_start", {"stream_type": "raw"}, "10032", "/stream_type"),
        ("siprec_start", {"session_timeout_secs": 89}, "10033", "/session_timeout_secs"),
        ("suppression_start", {ENGINE: {"voice_gain": 5}}, "10033", f"/{ENGINE}/voice_gain"),
        ("playback_start", {"loop": 0}, "90009", "/loop"),
        ("playback_start", {"loop": "forever"}, "90009", "/loop"),
        ("playback_start", {"loop": True}, "10026", "/loop"),
        ("playback_start", {"loop": [1]}, "10026", "/loop"),
        ("playback_start", {"stop": "overlay"}, "90016", "/stop"),
        ("playback_start", {"overlay": True}, "10032", "/target_legs"),
        ("playback_start", {"media_name": "a"}, "10027", "/media_name"),
        ("playback_stop", {"stop": "none"}, "90016", "/stop"),
        ("speak", {"payload": "x" * 3001}, "90010", "/payload"),
        ("speak", {"payload_type": "html"}, "90011", "/payload_type"),
        ("speak", {"voice": ""}, "90012", "/voice"),
        ("speak", {"language": "tlh"}, "90013", "/language"),
        ("speak", {"service_level": "gold"}, "90030", "/service_level"),
        ("speak", {"service_level": "basic", "language": "de-DE"}, "90013", "/language"),
        ("speak", {"service_level": "basic", "payload_type": "ssml"}, "90011", "/payload_type"),
        ("speak", {"voice_settings": {"type": "none"}}, "10032", "/voice_settings"),
        ("speak", {"voice_settings": "telnyx"}, "10032", "/voice_settings"),
        ("speak", {"voice_settings": {"type": "telnyx", "voice_speed": "1"}}, "10026", "/voice_settings/voice_speed"),
        ("gather", {"minimum_digits": 0}, "90022", "/minimum_digits"),
        ("gather", {"maximum_digits": 129}, "90023", "/maximum_digits"),
        ("gather", {"terminating_digit": "##"}, "90007", "/terminating_digit"),
        ("gather", {"valid_digits": "A"}, "90008", "/valid_digits"),
        ("gather", {"timeout_millis": -1}, "90025", "/timeout_millis"),
        ("gather", {"inter_digit_timeout_millis": 120_001}, "90026", "/inter_digit_timeout_millis"),
        ("gather", {"initial_timeout_millis": 0}, "90056", "/initial_timeout_millis"),
        ("gather_using_audio", {"maximum_tries": 129}, "90024", "/maximum_tries"),
        ("gather_using_audio", {"invalid_media_name": "x"}, "10027", "/invalid_media_name"),
        ("gather_using_ai", {"parameters": []}, "10026", "/parameters"),
        ("record_start", {"format": "ogg"}, "90000", "/format"),
        ("record_start", {"channels": "mono"}, "90001", "/channels"),
        ("record_start", {"recording_track": "all"}, "90059", "/recording_track"),
        ("record_start", {"max_length": 14_401}, "10033", "/max_length"),
        ("transcription_start", {"transcription_engine": "Siri"}, "10032", "/transcription_engine"),
        (
            "transcription_start",
            {"transcription_engine_config": {"transcription_engine": "Azure"}},
            "10004",
            "/transcription_engine_config/region",
        ),
        (
            "transcription_start",
            {"transcription_engine_config": {"transcription_engine": "Deepgram", "transcription_model": "nova-9"}},
            "10032",
            "/transcription_engine_config",
        ),
        ("ai_assistant_start", {"assistant": {}}, "10004", "/assistant/id"),
        (
            "ai_assistant_start",
            {"assistant": {"id": "a", "dynamic_variables": {"x": []}}},
            "10026",
            "/assistant/dynamic_variables/x",
        ),
        ("ai_assistant_start", {"message_history": [{"role": "user"}]}, "10004", "/message_history/0/content"),
        ("ai_assistant_start", {"message_history": [{"role": "cat"}]}, "10032", "/message_history/0"),
        ("ai_assistant_join", {"participant": {"id": "v3:a", "role": "host"}}, "10032", "/participant/role"),
        ("conversation_relay_start", {"url": "https://relay.example.test"}, "10027", "/url"),
        ("conversation_relay_start", {"provider": "x"}, "10004", "/structured_provider"),
    ],
)
def test_a_wrong_field_is_refused_with_its_code_and_its_name(
    action: str, fields: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(MalformedCommandError) as caught:
        parse_command(action, json.dumps(SAMPLES[action] | fields).encode())
    assert [(error["code"], error["source"]["pointer"]) for error in caught.value.errors] == [(code, pointer)]
    with pytest.raises(ValidationError) as strict:
        COMMANDS[action].model_validate(SAMPLES[action] | fields)
    assert (code, pointer) in [(error["code"], error["source"]["pointer"]) for error in refusals(strict.value)]


REQUIRED = [
    (action, name) for action, command in COMMANDS.items() for name in command.model_json_schema().get("required", ())
]


@pytest.mark.parametrize(("action", "name"), REQUIRED)
def test_a_field_that_is_missing_is_told_by_its_name(action: str, name: str) -> None:
    body = {field: value for field, value in SAMPLES[action].items() if field != name}
    with pytest.raises(MalformedCommandError) as caught:
        parse_command(action, body)
    assert [(error["code"], error["source"]["pointer"]) for error in caught.value.errors] == [("10004", f"/{name}")]


def test_a_bridge_with_nobody_names_the_usual_field() -> None:
    with pytest.raises(MalformedCommandError, match="/call_control_id"):
        parse_command("bridge", b"{}")


@pytest.mark.parametrize(
    ("body", "code"), [(b"{", "10023"), (b"\xff", "10023"), (b"[" * 10_000, "10023"), (b"[]", "10026"), (b"1", "10026")]
)
def test_what_is_no_object_is_refused_without_a_pointer(body: bytes, code: str) -> None:
    with pytest.raises(MalformedCommandError) as caught:
        parse_command("answer", body)
    assert [(error["code"], "source" in error) for error in caught.value.errors] == [(code, False)]


def test_a_refusal_has_the_shape_of_telnyx() -> None:
    with pytest.raises(MalformedCommandError) as caught:
        parse_command("hangup", {"client_state": "secret?"})
    assert caught.value.errors == [
        {
            "code": "90017",
            "title": "Invalid client state",
            "detail": caught.value.detail,
            "source": {"pointer": "/client_state"},
            "meta": {"url": "https://developers.telnyx.com/docs/overview/errors/90017"},
        }
    ]
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("hangup: /client_state: ")
    assert isinstance(caught.value, ControlError)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (422, "90017", False)


def test_every_wrong_field_is_told_up_to_a_bound() -> None:
    body: dict[str, Any] = {"stream_track": 1, "stream_codec": 1, "custom_headers": [{}] * 100}
    with pytest.raises(MalformedCommandError) as caught:
        parse_command("answer", body)
    assert len(caught.value.errors) == 20
    assert {error["code"] for error in caught.value.errors} == {"10032", "10004"}


def test_a_refusal_is_bounded_whatever_the_body() -> None:
    with pytest.raises(ValidationError) as caught:
        Answer.model_validate({"x" * 100_000: 1})
    assert len(json.dumps(refusals(caught.value))) < 1000
