"""What every command has in common, and what is particular to a few."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import MalformedCommandError
from gateway.protocol.commands import (
    COMMANDS,
    Answer,
    Bridge,
    ClientStateUpdate,
    Dial,
    Hangup,
    NameValue,
    RetriesPolicy,
    SiprecStart,
    Speak,
    StreamingStart,
    SwitchSupervisorRole,
    TranscriptionStart,
    Transfer,
    parse_command,
)
from gateway.protocol.commands.transcription import TelnyxEngine
from tests.gateway.protocol.fields import samples

SAMPLES = samples("commands")
ROOM = "0ccc7b54-4df3-4bca-a65a-3da1ecc777f0"
NO_COMMAND_ID = {"client_state_update", "siprec_start", "switch_supervisor_role"}


def test_there_is_a_sample_of_every_command() -> None:
    assert set(SAMPLES) == set(COMMANDS)
    assert all(command.action == action for action, command in COMMANDS.items())


@pytest.mark.parametrize("action", COMMANDS)
def test_a_sample_is_read_and_written_as_it_was(action: str) -> None:
    body = SAMPLES[action]
    assert COMMANDS[action].model_validate(body).body() == body
    assert parse_command(action, body).body() == body
    assert parse_command(action, json.dumps(body).encode()).body() == body


@pytest.mark.parametrize("action", COMMANDS)
def test_an_unknown_field_is_refused_where_we_make_the_command_and_kept_where_somebody_else_did(action: str) -> None:
    body = {**SAMPLES[action], "a_new_field": {"deep": [None, 1.5]}}
    with pytest.raises(ValidationError, match="a_new_field"):
        COMMANDS[action].model_validate(body)
    assert parse_command(action, json.dumps(body).encode()).body() == body


def test_unknown_fields_of_nested_objects_are_kept_too() -> None:
    body = {
        "to": "+15550100002",
        "custom_headers": [{"name": "X-A", "value": "1", "new": None}],
        "sound_modifications": {"pitch": 1.5, "new": {"deeper": []}},
    }
    assert parse_command("transfer", body).body() == body
    with pytest.raises(ValidationError, match="custom_headers"):
        Transfer.model_validate(body)


def test_only_what_was_set_is_in_the_body() -> None:
    assert Answer().body() == {}
    assert Answer(stream_track="inbound_track", client_state=None).body() == {"stream_track": "inbound_track"}
    assert parse_command("answer", b"").body() == {}


def test_a_field_that_is_a_word_of_python_has_its_own_name_on_the_wire() -> None:
    dial = Dial(connection_id="1", from_="+15550100001", to=["+15550100002", "sip:a@example.test"])
    assert dial.body() == {
        "connection_id": "1",
        "from": "+15550100001",
        "to": ["+15550100002", "sip:a@example.test"],
    }
    with pytest.raises(MalformedCommandError, match="/from"):
        parse_command("dial", {"connection_id": "1", "from_": "+15550100001", "to": "+15550100002"})


@pytest.mark.parametrize("action", COMMANDS)
def test_a_command_that_takes_no_id_cannot_have_one(action: str) -> None:
    command = parse_command(action, SAMPLES[action])
    assert command.takes_command_id() is (action not in NO_COMMAND_ID)
    with_id = command.with_command_id("an-id")
    given = SAMPLES[action].get("command_id")
    assert with_id.body().get("command_id") == (given or (None if action in NO_COMMAND_ID else "an-id"))
    assert {**with_id.body(), "command_id": given} == {**SAMPLES[action], "command_id": given}


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (SiprecStart, {"command_id": "1"}),
        (ClientStateUpdate, {"client_state": "YQ==", "command_id": "1"}),
        (SwitchSupervisorRole, {"role": "barge", "command_id": "1"}),
        (SwitchSupervisorRole, {"role": "barge", "client_state": "YQ=="}),
    ],
)
def test_what_a_command_does_not_take_is_refused_and_read_as_none(command: type[Any], fields: dict[str, str]) -> None:
    *_, last = fields
    with pytest.raises(ValidationError, match=last):
        command(**fields)
    assert getattr(command(**{name: value for name, value in fields.items() if name != last}), last) is None


def test_a_path_escapes_the_id() -> None:
    assert Hangup.path("v3:a/../b?c d") == "/calls/v3:a%2F..%2Fb%3Fc%20d/actions/hangup"
    assert (ClientStateUpdate.method, ClientStateUpdate.path("v3:a")) == (
        "PUT",
        "/calls/v3:a/actions/client_state_update",
    )
    assert (Dial.method, Dial.path()) == ("POST", "/calls")


def test_parts_can_be_written_as_models() -> None:
    answer = Answer(
        custom_headers=[NameValue(name="X-A", value="1")],
        webhook_retries_policies={"call.hangup": RetriesPolicy(retries_ms=[500])},
        transcription_config=TranscriptionStart(
            transcription_engine="Telnyx", transcription_engine_config=TelnyxEngine(language="auto_detect")
        ),
    )
    assert answer.body() == {
        "custom_headers": [{"name": "X-A", "value": "1"}],
        "webhook_retries_policies": {"call.hangup": {"retries_ms": [500]}},
        "transcription_config": {
            "transcription_engine": "Telnyx",
            "transcription_engine_config": {"language": "auto_detect"},
        },
    }


def test_a_transcription_config_need_not_name_its_engine_again() -> None:
    for body in (b'{"transcription_engine": "B", "transcription_engine_config": {"language": "auto_detect"}}',):
        assert parse_command("transcription_start", body).body() == json.loads(body)
    with pytest.raises(MalformedCommandError, match="/transcription_engine_config/language"):
        parse_command("transcription_start", {"transcription_engine_config": {"language": "auto_detect"}})


def test_neither_text_nor_error_shows_a_secret() -> None:
    start = StreamingStart(stream_auth_token="s3cret", stream_url="wss://example.test/s3cret", client_state="c3RhdGU=")
    assert "s3cret" not in repr(start)
    assert "c3RhdGU=" not in str(start)
    assert "+1555" not in repr(Dial(connection_id="1", from_="+15550100001", to="+15550100002"))
    with pytest.raises(ValidationError) as caught:
        StreamingStart(stream_url="https://example.test/s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValidationError) as other:
        Speak.model_validate({"payload": "x", "voice": "x", "voice_settings": {"type": "s3cret"}})
    assert "s3cret" not in str(other.value)


def test_a_bridge_is_with_one_of_three() -> None:
    for other in ({"call_control_id": "v3:b"}, {"queue": "support"}, {"video_room_id": ROOM}):
        assert Bridge.model_validate(other).body() == other


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_any_body_gives_a_command_or_a_refusal(data: st.DataObject) -> None:
    action = data.draw(st.sampled_from(sorted(COMMANDS)))
    known = st.sampled_from(sorted(COMMANDS[action].model_fields))
    body = data.draw(
        st.dictionaries(known | st.text(), JSON, max_size=4) | JSON.map(lambda value: [value]) | st.binary()
    )
    octets = (
        body
        if isinstance(body, bytes)
        else json.dumps(SAMPLES[action] | body if isinstance(body, dict) else body).encode()
    )
    try:
        parse_command(action, octets)
        errors = []
    except MalformedCommandError as error:
        errors = error.errors
    assert all(isinstance(each["code"], str) and each["title"] and each["detail"] for each in errors)
