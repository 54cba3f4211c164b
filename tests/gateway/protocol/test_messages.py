import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.protocol.messages import (
    ApplicationMessage,
    CarrierMessage,
    Clear,
    Connected,
    Dtmf,
    DtmfBody,
    Error,
    ErrorBody,
    Mark,
    MarkBody,
    MarkReached,
    Media,
    MediaBody,
    MediaFormat,
    Play,
    PlayBody,
    Start,
    StartBody,
    Stop,
    StopBody,
    UnknownEvent,
    decode_application,
    decode_carrier,
    encode,
)

STREAM = "0A6B0C9C-77A1-4F43-9C55-1F3F4C1D2E10"
USER = "6B1F0C3E-0000-4000-8000-0000000000AA"

# The wire texts follow the documented samples field by field.
CARRIER: list[tuple[str, CarrierMessage]] = [
    ('{"event":"connected","version":"1.0.0"}', Connected(version="1.0.0")),
    (
        '{"event":"connected","version":"1.0.0","connected":{"x-telnyx-streaming-auth-token":"tok-1"}}',
        Connected(version="1.0.0", connected={"x-telnyx-streaming-auth-token": "tok-1"}),
    ),
    (
        '{"event":"connected","version":"1.0.0","protocol":"Call"}',
        Connected(version="1.0.0", protocol="Call"),
    ),
    (
        (
            f'{{"event":"start","sequence_number":"1","stream_id":"{STREAM}","start":{{"user_id":"{USER}",'
            '"call_control_id":"v3:abcDEF123","call_session_id":"11111111-2222-11ef-9692-02420aeffb1f",'
            '"from":"+15550100001","to":"+15550100002","tags":["lab"],"client_state":"c3RhdGU=",'
            '"custom_parameters":{"customer":"42"},'
            '"media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}}}'
        ),
        Start(
            sequence_number=1,
            stream_id=STREAM,
            start=StartBody(
                user_id=USER,
                call_control_id="v3:abcDEF123",
                call_session_id="11111111-2222-11ef-9692-02420aeffb1f",
                from_="+15550100001",
                to="+15550100002",
                tags=["lab"],
                client_state="c3RhdGU=",
                custom_parameters={"customer": "42"},
                media_format=MediaFormat("PCMU", 8000, 1),
            ),
        ),
    ),
    (
        (
            f'{{"event":"media","sequence_number":"4","stream_id":"{STREAM}",'
            '"media":{"track":"inbound","chunk":"2","timestamp":"40","payload":"/////w=="}}'
        ),
        Media(4, STREAM, MediaBody("inbound", 2, "40", b"\xff\xff\xff\xff")),
    ),
    (
        (
            f'{{"event":"media","sequence_number":5,"stream_id":"{STREAM}",'
            '"media":{"track":"outbound_track","chunk":3,"timestamp":60,"payload":""}}'
        ),
        Media(5, STREAM, MediaBody("outbound_track", 3, 60, b"")),
    ),
    (
        (
            f'{{"event":"dtmf","stream_id":"{STREAM}","sequence_number":"5",'
            '"occurred_at":"2026-11-20T10:00:00.123456Z","dtmf":{"digit":"#"}}'
        ),
        Dtmf(
            stream_id=STREAM,
            sequence_number=5,
            occurred_at="2026-11-20T10:00:00.123456Z",
            dtmf=DtmfBody("#"),
        ),
    ),
    (
        f'{{"event":"mark","stream_id":"{STREAM}","sequence_number":"6","mark":{{"name":"greeting"}}}}',
        MarkReached(6, STREAM, MarkBody("greeting")),
    ),
    (
        (
            f'{{"event":"stop","sequence_number":"7","stream_id":"{STREAM}",'
            f'"stop":{{"user_id":"{USER}","call_control_id":"v3:abcDEF123"}}}}'
        ),
        Stop(sequence_number=7, stream_id=STREAM, stop=StopBody(USER, "v3:abcDEF123")),
    ),
    (
        (
            f'{{"event":"error","stream_id":"{STREAM}",'
            '"payload":{"code":100003,"title":"malformed_frame","detail":"not JSON"}}'
        ),
        Error(stream_id=STREAM, payload=ErrorBody(100003, "malformed_frame", "not JSON")),
    ),
]

APPLICATION: list[tuple[str, ApplicationMessage]] = [
    ('{"event":"media","media":{"payload":"f39/"}}', Play(PlayBody(b"\x7f\x7f\x7f"))),
    ('{"event":"mark","mark":{"name":"x"}}', Mark(MarkBody("x"))),
    ('{"event":"clear"}', Clear()),
]


def counts_as_integers(message: dict[str, Any]) -> dict[str, Any]:
    for fields in (message, message.get("media", {})):
        fields.update({name: int(fields[name]) for name in ("sequence_number", "chunk") if name in fields})
    return message


@pytest.mark.parametrize(("text", "message"), CARRIER)
def test_what_telnyx_says_is_read_and_written_as_documented(text: str, message: CarrierMessage) -> None:
    assert decode_carrier(text) == decode_carrier(text.encode()) == message
    assert json.loads(encode(message)) == counts_as_integers(json.loads(text))


@pytest.mark.parametrize(("text", "message"), APPLICATION)
def test_what_applications_say_is_read_and_written_as_documented(text: str, message: ApplicationMessage) -> None:
    assert decode_application(text) == decode_application(text.encode()) == message
    assert json.loads(encode(message)) == json.loads(text)


def test_fields_we_do_not_know_are_passed_over() -> None:
    text = '{"event":"media","stream_id":"s","track":"inbound","media":{"payload":"AAA=","volume":3}}'
    assert decode_application(text) == Play(PlayBody(b"\0\0"))


def test_a_hidden_caller_and_an_empty_client_state_are_none() -> None:
    text = (
        '{"event":"start","sequence_number":"1","stream_id":"s","start":{"call_control_id":"v3:x","from":null,'
        '"client_state":null,"media_format":{"encoding":"PCMA","sample_rate":8000}}}'
    )
    message = decode_carrier(text)
    assert isinstance(message, Start)
    assert (message.start.from_, message.start.client_state, message.start.media_format.channels) == (None, None, 1)


@pytest.mark.parametrize("text", ['{"event":"stats"}', '{"event":"","media":5}', '{"a":[1,2],"event":"clear2"}'])
def test_events_we_do_not_know_are_told_as_such(text: str) -> None:
    assert decode_carrier(text) == decode_application(text) == UnknownEvent(json.loads(text)["event"])


def test_the_other_sides_events_are_unknown_here() -> None:
    assert decode_carrier('{"event":"clear"}') == UnknownEvent("clear")
    assert decode_application('{"event":"dtmf","dtmf":{"digit":"1"}}') == UnknownEvent("dtmf")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '"media"',
        "{",
        '{"event":5}',
        '{"event":null}',
        '{"event":"\ud800"}',
        b"\xff\xfe",
        b'{"event":"\xff"}',
        "[" * 100_000,
        '{"event":' * 100_000,
    ],
)
def test_what_is_no_message_is_a_remote_error(text: str | bytes) -> None:
    for decode in (decode_carrier, decode_application):
        with pytest.raises(RemoteProtocolError, match="not a media-stream message"):
            decode(text)


MEDIA = json.loads(CARRIER[4][0])


@pytest.mark.parametrize(
    "change",
    [
        {"media": None},
        {"media": {}},
        {"media": MEDIA["media"] | {"payload": "*not base64*"}},
        {"media": MEDIA["media"] | {"payload": "AAA"}},
        {"media": MEDIA["media"] | {"payload": None}},
        {"media": MEDIA["media"] | {"track": "both"}},
        {"media": MEDIA["media"] | {"chunk": 1.5}},
        {"media": MEDIA["media"] | {"timestamp": True}},
        {"sequence_number": None},
        {"sequence_number": ["1"]},
        {"stream_id": 5},
    ],
)
def test_a_known_event_in_a_wrong_shape_is_a_remote_error_that_names_it(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed 'media'"):
        decode_carrier(json.dumps(MEDIA | change))


def test_a_number_of_5000_digits_is_a_remote_error() -> None:
    text = CARRIER[4][0].replace('"sequence_number":"4"', f'"sequence_number":{"9" * 5000}')
    with pytest.raises(RemoteProtocolError, match="malformed 'media'"):
        decode_carrier(text)


def media_with(**counts: str | int) -> str:
    """The message of `media` with other counts."""
    body = MEDIA["media"] | {name: value for name, value in counts.items() if name == "chunk"}
    return json.dumps(MEDIA | {"media": body} | {name: value for name, value in counts.items() if name != "chunk"})


@pytest.mark.parametrize("name", ["sequence_number", "chunk"])
@pytest.mark.parametrize(
    ("value", "number"),
    [("0", 0), ("4", 4), (0, 0), (41, 41), (str(2**63 - 1), 2**63 - 1), (2**63 - 1, 2**63 - 1)],
)
def test_counts_are_read_from_strings_and_integers(name: str, value: str | int, number: int) -> None:
    message = decode_carrier(media_with(**{name: value}))
    assert isinstance(message, Media)
    assert {"sequence_number": message.sequence_number, "chunk": message.media.chunk}[name] == number


@pytest.mark.parametrize("name", ["sequence_number", "chunk"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        " 4",
        "007",
        "-1",
        -1,
        "+1",
        "1_000",
        "1.5",
        1.5,
        "0x10",
        "NaN",
        "٤٢",  # Arabic-Indic digits, which int() would take
        "\uff14",  # a full-width digit
        "²",
        "9" * 5000,
        str(2**63),
        2**63,
        True,
    ],
)
def test_what_is_no_plain_count_is_a_remote_error_that_names_the_field(name: str, value: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=rf"malformed 'media'.*{name}") as caught:
        decode_carrier(media_with(**{name: value}))
    assert len(str(caught.value)) < 160


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("sequence_number", "stream_id", "start", "media", "dtmf", "mark", "stop", "payload", "connected", "version")
EVENTS = ("connected", "start", "media", "dtmf", "mark", "stop", "error", "clear", "other")
ALMOST = st.builds(
    lambda event, fields: json.dumps({"event": event} | fields),
    st.sampled_from(EVENTS),
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3)),
)


@given(text=st.text() | st.binary() | JSON.map(json.dumps) | ALMOST)
def test_any_text_is_a_message_or_a_remote_error(text: str | bytes) -> None:
    for decode in (decode_carrier, decode_application):
        try:
            message = decode(text)
        except RemoteProtocolError:
            continue
        if not isinstance(message, UnknownEvent):
            assert decode(encode(message)) == message


@given(value=st.text() | st.from_regex(r"[0-9]{1,25}", fullmatch=True))
def test_any_count_is_read_as_its_ascii_digits_say_or_is_a_remote_error(value: str) -> None:
    try:
        message = decode_carrier(media_with(chunk=value))
    except RemoteProtocolError:
        return
    assert isinstance(message, Media)
    assert 0 <= message.media.chunk < 2**63
    assert message.media.chunk == (int(value) if value.isdigit() else float(value))  # in JSON, 1e3 is a thousand


@pytest.mark.parametrize("field", ["stream_id", "call_control_id"])
def test_an_id_of_any_length_is_not_kept(field: str) -> None:
    ids = {"stream_id": "S", "call_control_id": "v3:x"} | {field: "x" * 513}
    text = json.dumps(
        {
            "event": "start",
            "sequence_number": "1",
            "stream_id": ids["stream_id"],
            "start": {
                "call_control_id": ids["call_control_id"],
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            },
        }
    )
    with pytest.raises(RemoteProtocolError, match="512"):
        decode_carrier(text)
