import asyncio
import time

import pytest

from gateway.call import EndReason
from gateway.errors import AdmissionError, UnsupportedCodecError
from gateway.protocol.stream import CarrierStream
from gateway.server.transport import CloseCode
from tests.gateway.control.conftest import Log
from tests.gateway.server.session_line import BODY, TOKEN, Line
from tests.gateway.server.wire import until


async def test_a_stream_runs_from_connected_to_stop(log: Log) -> None:
    line = Line(log)
    line.begin()
    for _ in range(3):
        line.say(line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    line.say(line.carrier.send_dtmf("5", occurred_at="2026-11-20T10:00:00.000000Z"))
    assert line.packets == 3
    assert line.session.call is line.calls[0]
    assert line.calls[0].report()["digits_received"] == 1
    line.say(line.carrier.send_stop())
    assert line.calls[0].end_reason is EndReason.STOP
    assert line.closed == [(CloseCode.NORMAL, "stream stopped")]
    line.session.link_lost(1000, "")
    assert (line.ended, line.gone, line.bad) == ([EndReason.STOP], 1, 0)


async def test_a_stop_before_start_ends_the_session_without_a_call(log: Log) -> None:
    line = Line(log)
    line.session.link_open()
    line.say(line.carrier.send_connected(), line.carrier.send_stop())
    assert (line.ended, line.calls) == ([EndReason.STOP], [])


# --- admission ------------------------------------------------------------------------------------------------------


async def test_a_token_may_come_inside_connected(log: Log) -> None:
    line = Line(log, token=True)
    line.begin()
    assert len(line.calls) == 1
    assert line.session.ticket is not None


@pytest.mark.parametrize("carrier", [CarrierStream("S", BODY), CarrierStream("S", BODY, token="another")])
async def test_without_the_right_token_the_session_ends_with_connected(log: Log, carrier: CarrierStream) -> None:
    line = Line(log, token=True)
    line.session.link_open()
    line.say(carrier.send_connected(), carrier.send_start())
    assert (line.ended, line.calls) == ([EndReason.NOT_ADMITTED], [])
    assert line.closed == [(CloseCode.POLICY_VIOLATION, "not admitted")]


async def test_a_token_that_comes_inside_connected_finds_no_room_where_there_is_none(log: Log) -> None:
    line = Line(log, token=True)
    line.full = True
    line.begin()
    assert (line.ended, line.calls) == ([EndReason.OVERLOADED], [])
    assert line.closed == [(CloseCode.TRY_AGAIN_LATER, "no room for another call")]


async def test_a_start_cannot_go_round_the_token(log: Log) -> None:
    line = Line(log, token=True)
    line.session.link_open()
    line.say(line.carrier.send_start())
    assert (line.ended, line.calls) == ([EndReason.NOT_ADMITTED], [])


async def test_a_connected_that_comes_too_late_does_not_redeem_the_token(log: Log) -> None:
    line = Line(log, token=True)
    line.session.link_open()
    line.say(line.carrier.send_start(), line.carrier.send_connected())
    assert line.session.ticket is None


async def test_no_log_holds_a_token_or_a_payload(log: Log) -> None:
    line = Line(log, token=True)
    line.begin()
    line.say('{"event": "connected", "connected": {"x-telnyx-streaming-auth-token": 5, "the-token": "the-token"}}')
    line.say(
        '{"event": "connected", "connected": "the-token"}', "the-token", '{"event": "media", "media": "the-token"}'
    )
    assert line.bad == 4
    assert TOKEN not in repr(log.lines)


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (UnsupportedCodecError("no codec"), EndReason.UNSUPPORTED_CODEC, CloseCode.UNSUPPORTED_DATA),
        (AdmissionError("wrong_call", 403, "no"), EndReason.NOT_ADMITTED, CloseCode.POLICY_VIOLATION),
        (ZeroDivisionError("a bug"), EndReason.INTERNAL_ERROR, CloseCode.INTERNAL_ERROR),
    ],
)
async def test_a_stream_that_cannot_start_is_closed_with_the_reason(
    log: Log, error: Exception, reason: EndReason, code: CloseCode
) -> None:
    line = Line(log, start=error)
    line.begin()
    line.say(line.carrier.send_media("inbound", b"\xff" * 160, timestamp=0))
    assert line.ended == [reason]
    assert [closed for closed, _ in line.closed] == [code]
    line.session.link_lost(int(code), "")
    assert (line.ended, line.gone) == ([reason], 1)


@pytest.mark.parametrize("reason", EndReason)
async def test_every_end_has_a_close_code_and_a_reason_that_fit_a_close_frame(log: Log, reason: EndReason) -> None:
    line = Line(log)
    line.begin()
    line.session.end(reason)
    line.session.end(EndReason.STOP)
    ((code, text),) = line.closed
    assert code not in (CloseCode.NO_STATUS, CloseCode.ABNORMAL)  # RFC 6455: never on the wire
    assert len(text.encode()) <= 123
    assert line.calls[0].end_reason is reason
    assert line.ended == [reason]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, EndReason.LINK_LOST),
        (1001, EndReason.LINK_LOST),
        (1005, EndReason.LINK_LOST),
        (1006, EndReason.LINK_LOST),
        (1011, EndReason.LINK_LOST),
        (4000, EndReason.LINK_LOST),
        (1002, EndReason.PROTOCOL_ERROR),
        (1003, EndReason.PROTOCOL_ERROR),
        (1007, EndReason.PROTOCOL_ERROR),
        (1009, EndReason.PROTOCOL_ERROR),
    ],
)
async def test_a_lost_link_ends_the_session_for_the_reason_its_code_tells(
    log: Log, code: int, reason: EndReason
) -> None:
    line = Line(log)
    line.begin()
    line.session.link_lost(code, "x" * 1000)
    assert (line.ended, line.gone) == ([reason], 1)
    assert line.calls[0].end_reason is reason


async def test_a_call_that_ends_by_itself_closes_the_socket(log: Log) -> None:
    line = Line(log)
    line.begin()
    line.calls[0].end(EndReason.MAX_DURATION)
    assert line.closed == [(CloseCode.MAX_DURATION, "longest call reached")]
    assert line.ended == [EndReason.MAX_DURATION]


async def test_a_refused_session_closes_as_it_opens_and_takes_nothing(log: Log) -> None:
    line = Line(log, refusal=EndReason.OVERLOADED)
    line.begin()
    assert line.closed == [(CloseCode.TRY_AGAIN_LATER, "no room for another call")]
    assert (line.ended, line.calls, line.bad) == ([EndReason.OVERLOADED], [], 0)


@pytest.mark.parametrize("connected", [True, False])
async def test_a_stream_that_does_not_start_in_time_is_closed(log: Log, connected: bool) -> None:
    """Ten seconds for the first message, `start_timeout` for `start`; the clock is set on to just before either."""
    ahead = 0.0
    line = Line(log, clock=lambda: time.monotonic() + ahead, start_timeout=10.0)
    if connected:
        line.session.link_open()
        line.clock.now = time.monotonic()
        ahead = 9.95
        line.say(line.carrier.send_connected())
    else:
        ahead = 9.95
        line.session.link_open()
    await until(lambda: line.closed)
    assert line.closed == [(CloseCode.POLICY_VIOLATION, "no start in time")]
    assert line.ended == [EndReason.NO_START]


async def test_a_stream_that_started_is_never_overdue(log: Log) -> None:
    line = Line(log, clock=time.monotonic, start_timeout=0.02)
    line.clock.now = time.monotonic()
    line.begin()
    await asyncio.sleep(0.08)
    assert line.closed == []
