"""One call on a wire without a socket, and its socket's end of WebSocket."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.bench.answers import EchoAnswers, EchoTable, PingAnswers
from gateway.bench.load_call import LoadCall
from gateway.bench.tally import Meter
from gateway.simulator.faults import MediaFaults
from tests.gateway.bench.far_side import FakeTransport, content, plan, play, server_frame

Made = tuple[LoadCall, FakeTransport, Meter, list[str]]


def make(
    clock: Callable[[], float] = lambda: 50.0, *, ping: bool = False, upgraded: bool = True, **fields: Any
) -> Made:
    meter, gone = Meter(), list[str]()
    meter.open(0.0)
    made = plan("ws://127.0.0.1:1/media/x?y=z", **fields)
    answers = PingAnswers(content(), meter) if ping else EchoAnswers(EchoTable(content()), meter)
    call = LoadCall(
        made, content().texts, answers, meter, number=0, clock=clock, gone=lambda _, reason: gone.append(reason)
    )
    wire = FakeTransport()
    call.connection_made(wire)
    if upgraded:
        call.data_received(accepted(wire.written.pop()))
        assert call.opened.done()
        call.begin()
    return call, wire, meter, gone


def accepted(request: bytes) -> bytes:
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: " + accept + b"\r\n\r\n"


async def test_the_upgrade_carries_the_token_and_what_else_is_asked_for() -> None:
    _, wire, _, _ = make(upgraded=False, token="t-1", headers=(("X-Tenant", "seven"),))
    lines = wire.written[0].decode().split("\r\n")
    assert lines[0] == "GET /media/x?y=z HTTP/1.1"
    assert {"Host: 127.0.0.1:1", "x-telnyx-streaming-auth-token: t-1", "X-Tenant: seven"} <= set(lines)


async def test_a_stream_begins_as_telnyx_begins_one() -> None:
    _, wire, _, _ = make(token="t-1", parameters=(("room", "7"),))
    connected, start = wire.messages
    assert connected == {
        "event": "connected",
        "version": "1.0.0",
        "connected": {"x-telnyx-streaming-auth-token": "t-1"},
    }
    assert (start["event"], start["sequence_number"]) == ("start", "1")
    assert start["start"]["media_format"] == {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    assert start["start"]["custom_parameters"] == {"room": "7"}
    assert start["start"]["call_control_id"].startswith("v3:")
    assert {"from", "to", "user_id", "call_session_id"} <= set(start["start"])


async def test_frames_are_numbered_and_say_the_loop_over_and_over() -> None:
    call, wire, meter, _ = make()
    for n in range(len(content().payloads) + 1):
        call.send_frame(n * 0.02, n * 0.02 + 0.001)
    media = wire.messages[2:]
    assert [message["sequence_number"] for message in media[:3]] == ["2", "3", "4"]
    assert [message["media"]["chunk"] for message in media[:2]] == ["1", "2"]
    assert [message["media"]["timestamp"] for message in media[:3]] == ["0", "20", "40"]
    said = [base64.b64decode(message["media"]["payload"]) for message in media]
    assert tuple(said[:-1]) == content().payloads
    assert said[-1] == said[0]
    tally = meter.take()
    assert tally.sent == len(said)
    assert tally.lateness.percentile(99) == pytest.approx(0.001, rel=0.02)


async def test_a_mark_comes_back_when_what_was_before_it_would_have_been_heard() -> None:
    now = 50.0
    call, wire, _, _ = make(lambda: now)
    call.data_received(play(b"\xff" * 160 * 5) + server_frame('{"event":"mark","mark":{"name":"m"}}'))
    call.send_frame(50.0, 50.09)
    assert [message["event"] for message in wire.messages] == ["connected", "start", "media"]
    call.send_frame(50.0, 50.11)
    assert wire.messages[-1]["mark"] == {"name": "m"}
    assert wire.messages[-1]["sequence_number"] == "4"


async def test_clear_gives_every_mark_back_at_once() -> None:
    call, wire, _, _ = make()
    marks = [server_frame(json.dumps({"event": "mark", "mark": {"name": name}})) for name in "ab"]
    call.data_received(play(b"\xff" * 16_000) + b"".join(marks) + server_frame('{"event":"clear"}'))
    assert [message["mark"]["name"] for message in wire.messages[2:]] == ["a", "b"]


async def test_what_is_no_message_is_counted() -> None:
    call, _, meter, _ = make()
    call.data_received(server_frame("nonsense") + server_frame('{"event":"media","media":{}}') + play(bytes(160)))
    tally = meter.take()
    assert (tally.foreign, tally.messages) == (3, 1)
    assert call.reason is None


async def test_what_comes_in_pieces_is_put_together() -> None:
    call, _, meter, _ = make()
    call.send_frame(50.0, 50.0)
    payload = content().payloads[0]
    whole = play(payload)
    text = whole[4:]
    stream = server_frame(text[:50], 0x01) + server_frame(b"", 0x89) + server_frame(text[50:], 0x80)
    for at in range(len(stream)):
        call.data_received(stream[at : at + 1])
    assert meter.take().answered == 1


async def test_a_ping_is_answered_and_ours_are_timed() -> None:
    call, wire, meter, _ = make(lambda: 50.25, ping=True)
    call.data_received(server_frame(b"hello", 0x89))
    assert wire.written[-1] == b"\x8a\x85\0\0\0\0hello"
    for n in range(51):
        call.send_frame(0.0, 50.0 + n / 1000)
    pings = [frame for frame in wire.written if frame[0] == 0x89]
    assert len(pings) == 2, "one a second"
    call.data_received(server_frame(pings[0][6:], 0x8A))
    assert meter.take().round_trips.longest == 0.25


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (server_frame((1013).to_bytes(2, "big"), 0x88), "closed by the far side with 1013"),
        (server_frame(b"", 0x88), "closed by the far side with 1005"),
        (b"\x81\x85", "a frame was masked"),
        (b"\x81\x7f" + (2**40).to_bytes(8, "big"), "a message of 1099511627776 octets"),
        (b"\xc1\x01a", "a frame that begins with 0xc1"),
        (server_frame(b"a", 0x80), "a frame that begins with 0x80"),
        (server_frame(b"a", 0x82), "a frame that begins with 0x82"),
    ],
)
async def test_a_far_side_that_closes_or_breaks_the_protocol_ends_the_call(octets: bytes, reason: str) -> None:
    call, _, _, gone = make()
    call.data_received(octets)
    call.connection_lost(None)
    assert (call.reason, gone, call.speaking) == (reason, [reason], False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service \x1b Unavailable\r\n\r\n", "refused: HTTP/1.1 503 Service ? Unavailable"),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "the answer to the upgrade is none of a WebSocket server"),
        (b"x" * 20_000, "the answer to the upgrade does not end"),
        (b"HTTP/1.1 101", "the connection was lost"),
    ],
)
async def test_an_upgrade_that_is_not_answered_well_opens_no_call(answer: bytes, reason: str) -> None:
    call, _, _, _ = make(upgraded=False)
    call.data_received(answer)
    call.connection_lost(None)
    with pytest.raises(ConnectionError, match="^" + reason.replace("?", r"\?")):
        await call.opened


async def test_a_far_side_that_does_not_read_is_given_up() -> None:
    call, wire, meter, _ = make()
    wire.waiting = 2_000_000
    call.send_frame(0.0, 50.0)
    assert (wire.aborted, call.reason) == (True, "the far side did not read")
    assert meter.take().backlog == 2_000_000


async def test_faults_are_played_from_a_seed_and_what_is_lost_is_not_asked() -> None:
    now = 50.0
    call, wire, meter, _ = make(lambda: now, faults=MediaFaults(lost=0.3, malformed=0.1, doubled=0.1), seed=3)
    for _ in range(200):
        call.send_frame(now, now)
    tally = meter.take()
    lost, malformed = tally.faults["lost"], tally.faults["malformed"]
    assert 30 < lost < 90
    assert malformed
    assert tally.asked == tally.sent == 200 - lost - malformed
    sent = len(wire.written) - 2
    assert sent == 200 - lost + tally.faults["doubled"]
    again, _, other, _ = make(lambda: now, faults=MediaFaults(lost=0.3, malformed=0.1, doubled=0.1), seed=3)
    for _ in range(200):
        again.send_frame(now, now)
    assert other.take().faults == tally.faults


async def test_a_frame_that_a_fault_holds_back_is_timed_from_when_it_left() -> None:
    now = 50.0
    call, wire, meter, _ = make(lambda: now, faults=MediaFaults(stall_every=0.04, stall=0.02))
    call.send_frame(now, now)
    now = 50.02
    call.send_frame(50.019, now)
    assert [message["event"] for message in wire.messages] == ["connected", "start", "media"], "one is held"
    now = 50.05
    call.send_frame(now, now)
    assert [message["media"]["chunk"] for message in wire.messages[2:]] == ["1", "2", "3"]
    now = 50.06
    call.data_received(play(content().payloads[1]))
    tally = meter.take()
    assert tally.round_trips.longest == pytest.approx(0.01)
    assert tally.lateness.longest == pytest.approx(0.001), "of the load; the fault is not its own"
