import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.protocol.messages import (
    AUTH_FIELD,
    Clear,
    Connected,
    Dtmf,
    Error,
    Mark,
    MarkBody,
    MarkReached,
    MediaFormat,
    Play,
    PlayBody,
    Start,
    StartBody,
    Stop,
    UnknownEvent,
)
from gateway.protocol.stream import CarrierStream, Event, MediaReceived, MediaStream, State

START = StartBody(call_control_id="v3:abc", user_id="U", media_format=MediaFormat("PCMU", 8000), from_="+15550100001")


def texts() -> dict[str, bytes]:
    """One message of each kind, as the carrier's end writes it."""
    carrier = CarrierStream("STREAM", START)
    return {
        "connected": carrier.send_connected(),
        "start": carrier.send_start(),
        "media": carrier.send_media("inbound", b"\xff" * 160, timestamp=20),
        "dtmf": carrier.send_dtmf("5", occurred_at="2026-11-20T10:00:00.000000Z"),
        "mark": carrier.send_mark("greeting"),
        "error": carrier.send_error(100004, "no base64"),
        "stop": carrier.send_stop(),
    }


TEXTS = texts()
REACH: dict[State, list[str]] = {
    State.OPENING: [],
    State.CONNECTED: ["connected"],
    State.STREAMING: ["connected", "start"],
    State.STOPPED: ["connected", "start", "stop"],
}
ALLOWED: dict[tuple[State, str], State] = {
    (State.OPENING, "connected"): State.CONNECTED,
    (State.OPENING, "start"): State.STREAMING,
    (State.OPENING, "error"): State.OPENING,
    (State.CONNECTED, "start"): State.STREAMING,
    (State.CONNECTED, "stop"): State.STOPPED,
    (State.CONNECTED, "error"): State.CONNECTED,
    (State.STREAMING, "media"): State.STREAMING,
    (State.STREAMING, "dtmf"): State.STREAMING,
    (State.STREAMING, "mark"): State.STREAMING,
    (State.STREAMING, "error"): State.STREAMING,
    (State.STREAMING, "stop"): State.STOPPED,
}
KINDS: dict[str, type[Event]] = {
    "connected": Connected,
    "start": Start,
    "media": MediaReceived,
    "dtmf": Dtmf,
    "mark": MarkReached,
    "stop": Stop,
    "error": Error,
}


def stream_in(state: State) -> MediaStream:
    stream = MediaStream(now=0.0)
    for name in REACH[state]:
        stream.receive_message(TEXTS[name], now=0.0)
    assert stream.state is state
    return stream


# --- the application's end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", TEXTS)
def test_every_message_in_every_state_is_taken_or_refused_as_the_table_says(state: State, name: str) -> None:
    stream = stream_in(state)
    after = ALLOWED.get((state, name))
    if after is None:
        with pytest.raises(RemoteProtocolError, match=f"not allowed while {state.value}"):
            stream.receive_message(TEXTS[name], now=1.0)
        assert stream.state is state
    else:
        assert type(stream.receive_message(TEXTS[name], now=1.0)) is KINDS[name]
        assert stream.state is after


@pytest.mark.parametrize("state", State)
def test_unknown_events_are_counted_in_every_state(state: State) -> None:
    stream = stream_in(state)
    assert stream.receive_message('{"event":"stats"}', now=0.0) is None
    assert (stream.messages_unknown, stream.state) == (1, state)


def test_media_gives_the_packet_with_its_numbers_read() -> None:
    stream = stream_in(State.STREAMING)
    assert stream.receive_message(TEXTS["media"], now=0.0) == MediaReceived("inbound", 2, 1, "20", b"\xff" * 160)
    assert stream.stream_id == "STREAM"


def media(**changes: Any) -> str:
    body = {"track": "inbound", "chunk": "2", "timestamp": "40", "payload": "/w=="}
    top = {"event": "media", "sequence_number": "4", "stream_id": "STREAM"}
    top |= {key: value for key, value in changes.items() if key in top}
    return json.dumps(top | {"media": body | {key: value for key, value in changes.items() if key in body}})


@pytest.mark.parametrize(
    ("changes", "packet"),
    [
        ({}, MediaReceived("inbound", 4, 2, "40", b"\xff")),
        ({"sequence_number": 4, "chunk": 2}, MediaReceived("inbound", 4, 2, "40", b"\xff")),
        ({"timestamp": 40}, MediaReceived("inbound", 4, 2, 40, b"\xff")),
        ({"timestamp": "-1.5 s"}, MediaReceived("inbound", 4, 2, "-1.5 s", b"\xff")),
        ({"track": "inbound_track"}, MediaReceived("inbound", 4, 2, "40", b"\xff")),
        ({"track": "outbound_track", "chunk": 2**63 - 1}, MediaReceived("outbound", 4, 2**63 - 1, "40", b"\xff")),
        ({"payload": ""}, MediaReceived("inbound", 4, 2, "40", b"")),
    ],
)
def test_media_is_read_leniently_where_that_is_harmless(changes: dict[str, Any], packet: MediaReceived) -> None:
    assert stream_in(State.STREAMING).receive_message(media(**changes), now=0.0) == packet


@pytest.mark.parametrize("field", ["sequence_number", "chunk"])
@pytest.mark.parametrize("value", ["", "-4", -4, "٤", "1_0", "4 4", "9" * 5000, True, 2**63, 2**64, 10**100])
def test_media_with_a_number_that_is_none_is_a_remote_error(field: str, value: str | int) -> None:
    stream = stream_in(State.STREAMING)
    with pytest.raises(RemoteProtocolError, match=field):
        stream.receive_message(media(**{field: value}), now=0.0)
    assert stream.receive_message(TEXTS["media"], now=0.0) is not None


def test_the_first_message_is_due_within_the_connect_timeout() -> None:
    stream = MediaStream(now=100.0, connect_timeout=10.0, start_timeout=60.0)
    assert stream.deadline() == 110.0
    assert not stream.overdue(now=109.9)
    assert stream.overdue(now=110.0)


def test_start_is_due_within_the_start_timeout_from_the_first_message() -> None:
    stream = MediaStream(now=100.0, connect_timeout=10.0, start_timeout=60.0)
    stream.receive_message(TEXTS["connected"], now=105.0)
    assert stream.deadline() == 165.0
    stream.receive_message(TEXTS["error"], now=150.0)
    assert stream.overdue(now=165.0)
    stream.receive_message(TEXTS["start"], now=165.0)
    assert stream.deadline() is None
    assert not stream.overdue(now=10_000.0)


def test_messages_that_are_refused_do_not_move_the_deadline() -> None:
    stream = MediaStream(now=0.0, connect_timeout=10.0)
    for text in (TEXTS["media"], b"{", b'{"event":"stats"}'):
        with suppress(RemoteProtocolError):
            stream.receive_message(text, now=9.0)
    assert stream.deadline() == 10.0


def test_a_stopped_stream_waits_for_nothing() -> None:
    stream = stream_in(State.CONNECTED)
    stream.receive_message(TEXTS["stop"], now=0.0)
    assert stream.deadline() is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.STREAMING])
def test_saying_anything_while_not_streaming_is_our_own_error(state: State) -> None:
    stream = stream_in(state)
    sends: dict[str, Callable[[], bytes]] = {
        "media": lambda: stream.send_media(b"\xff" * 160),
        "mark": lambda: stream.send_mark("x"),
        "clear": stream.send_clear,
    }
    for what, send in sends.items():
        with pytest.raises(LocalProtocolError, match=f"'{what}' cannot be sent while {state.value}"):
            send()


def test_what_the_application_says_reaches_the_carrier() -> None:
    stream, carrier = stream_in(State.STREAMING), CarrierStream("STREAM", START)
    assert carrier.receive_message(stream.send_media(b"\xff\x00")) == Play(PlayBody(b"\xff\x00"))
    assert carrier.receive_message(stream.send_mark("x")) == Mark(MarkBody("x"))
    assert carrier.receive_message(stream.send_clear()) == Clear()
    assert json.loads(stream.send_media(b"\xff\x00")) == {"event": "media", "media": {"payload": "/wA="}}


# --- the carrier's end -----------------------------------------------------------------------------------------


def test_the_carrier_numbers_its_messages_as_strings_from_start_on() -> None:
    messages = [json.loads(text) for text in TEXTS.values()]
    numbers = {message["event"]: message.get("sequence_number") for message in messages}
    assert numbers == {
        "connected": None,
        "start": "1",
        "media": "2",
        "dtmf": "3",
        "mark": "4",
        "error": None,
        "stop": "5",
    }
    assert {message["stream_id"] for message in messages if "stream_id" in message} == {"STREAM"}


def test_the_carrier_counts_chunks_per_track_as_strings() -> None:
    carrier = CarrierStream("STREAM", START)
    bodies = [
        json.loads(carrier.send_media(track, b"", timestamp=0))["media"]
        for track in ("inbound", "outbound", "inbound", "outbound")
    ]
    assert [body["chunk"] for body in bodies] == ["1", "1", "2", "2"]


def test_the_token_stands_in_connected_and_nowhere_else() -> None:
    carrier = CarrierStream("STREAM", START, token="tok-1")
    assert json.loads(carrier.send_connected())["connected"] == {AUTH_FIELD: "tok-1"}
    assert b"tok-1" not in carrier.send_start()
    assert b"connected" not in CarrierStream("STREAM", START).send_connected().replace(b'"event":"connected"', b"")


def test_start_and_stop_name_the_same_call() -> None:
    start, stop = json.loads(TEXTS["start"])["start"], json.loads(TEXTS["stop"])["stop"]
    assert (start["call_control_id"], start["user_id"]) == (stop["call_control_id"], stop["user_id"]) == ("v3:abc", "U")
    assert start["from"] == "+15550100001"


def test_an_error_carries_its_documented_title() -> None:
    assert json.loads(TEXTS["error"])["payload"] == {"code": 100004, "title": "invalid_media", "detail": "no base64"}


# --- any text --------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A good message with one value at some depth replaced or taken away."""
    message = place = json.loads(TEXTS[draw(st.sampled_from(sorted(TEXTS)))])
    while True:
        key = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or draw(st.booleans()):
            break
        place = place[key]
    if draw(st.booleans()):
        place[key] = draw(VALUES)
    else:
        del place[key]
    return json.dumps(message)


@given(state=st.sampled_from(State), text=st.text() | st.binary() | VALUES.map(json.dumps) | spoiled())
def test_any_text_is_an_event_or_nothing_or_a_remote_error(state: State, text: str | bytes) -> None:
    stream = stream_in(state)
    try:
        event = stream.receive_message(text, now=0.0)
    except RemoteProtocolError:
        assert stream.state is state
    else:
        assert event is None or isinstance(event, tuple(KINDS.values()))


@given(text=st.text() | st.binary() | VALUES.map(json.dumps) | spoiled())
def test_any_text_to_the_carrier_is_a_message_or_a_remote_error(text: str | bytes) -> None:
    carrier = CarrierStream("STREAM", START)
    try:
        message = carrier.receive_message(text)
    except RemoteProtocolError:
        return
    assert isinstance(message, Play | Mark | Clear | UnknownEvent)
    assert msgspec.json.encode(message)
