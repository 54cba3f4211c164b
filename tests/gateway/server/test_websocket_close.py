import asyncio
import contextlib
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.server.transport import CloseCode, Limits, Link
from tests.gateway.control.conftest import Log
from tests.gateway.server.listener import Listener
from tests.gateway.server.wire import CLOSE, PING, PONG, TEXT, close_frame, frame

pytestmark = pytest.mark.usefixtures("transport")

SHORT = Limits(close_timeout=0.1)
LIVELY = Limits(ping_interval=0.1, ping_timeout=0.1)
SLOW_READER = Limits(write_timeout=0.15)
SMALL_BUFFER = 4096  # octets; the system doubles it


# --- the closing handshake ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "Wiedersehen, grüß Gott"), (4999, "x" * 123)])
async def test_a_close_frame_is_echoed_and_the_connection_ends(log: Log, code: int, reason: str) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(close_frame(code, reason))
        assert await client.closed_with() == (code, reason)
        assert await client.rest() == b""
        client.half_close()
        await port.told("open", (code, reason))
    assert port.counters.failed == port.counters.dropped == {}
    assert log.lines == []


async def test_a_close_frame_without_a_code_is_echoed_without_one(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(frame(CLOSE))
        assert await client.frame() == (CLOSE, b"")
        client.half_close()
        await port.told("open", (CloseCode.NO_STATUS, ""))


async def test_an_ordinary_client_closes_cleanly(log: Log) -> None:
    async with Listener(log) as port:
        client = await connect(port.url, proxy=None)
        await client.send("last words")
        await client.close(1000, "bye")
        assert (client.close_code, client.close_reason) == (1000, "bye")
        await port.told("open", "last words", (1000, "bye"))


async def test_texts_and_a_close_frame_in_one_segment_are_told_in_order(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(
            b"".join(frame(TEXT, text) for text in (b"1", b"2", b"3")) + close_frame(1001) + frame(TEXT, b"4")
        )
        assert await client.closed_with() == (1001, "")
        client.half_close()
        await port.told("open", "1", "2", "3", (1001, ""))


@pytest.mark.parametrize("size", [4, 200])
async def test_a_session_may_close_over_a_text_that_a_close_frame_follows_at_once(log: Log, size: int) -> None:
    def leave(link: Link, text: str) -> None:
        link.close(CloseCode.NORMAL, "stream stopped")

    async with Listener(log, on_text=leave) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"x" * size) + close_frame(1001) + frame(TEXT, b"y"))
        assert (await client.closed_with())[0] in (1000, 1001)
        client.half_close()
        await port.told("open", "x" * size, (1001, ""))


@pytest.mark.parametrize("end", [close_frame(1000), frame(TEXT, b"x", masked=False), frame(TEXT, b"\xff")])
async def test_what_comes_after_the_end_in_a_segment_of_its_own_is_not_told(log: Log, end: bytes) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(end)
        await client.closed_with()
        await client.send(frame(TEXT, b"and another thing"))
        await client.send(frame(TEXT, b"and another") + frame(TEXT, b"and another"))
        client.half_close()
        await port.until(lambda: not port.connections)
        assert [type(item) for item in port.session.told] == [str, tuple]


@pytest.mark.parametrize("fault", [frame(TEXT, b"x", masked=False), close_frame(1001), frame(TEXT, b"\xff")])
async def test_a_fault_behind_a_close_frame_is_none(log: Log, fault: bytes) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"last") + close_frame(1000, "bye") + fault + fault)
        assert await client.closed_with() == (1000, "bye")
        assert await client.rest() == b""
        client.half_close()
        await port.told("open", "last", (1000, "bye"))
    assert port.counters.failed == port.counters.dropped == {}


async def test_who_breaks_a_rule_instead_of_closing_gets_no_second_close_frame(log: Log) -> None:
    async with (
        Listener(log, on_open=lambda link: link.close(CloseCode.GOING_AWAY, "")) as port,
        port.upgraded() as client,
    ):
        assert await client.closed_with() == (1001, "")
        await client.send(frame(PING, b"?") + frame(TEXT, b"x", masked=False))
        assert await client.frame() == (PONG, b"?")
        assert await client.rest() == b""
        client.half_close()
        await port.told("open", (1001, ""))
    assert port.counters.failed == port.counters.dropped == {}


@pytest.mark.parametrize("code", [CloseCode.NORMAL, CloseCode.POLICY_VIOLATION, CloseCode.REPLACED])
async def test_the_session_closes_with_its_code_and_the_answer_ends_the_connection(log: Log, code: CloseCode) -> None:
    def end(link: Link, text: str) -> None:
        link.send(text.encode())
        link.close(code, "that is all")
        link.send(b"too late")
        link.close(CloseCode.NORMAL, "and again")

    async with Listener(log, on_text=end) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"last") + frame(TEXT, b"ignored"))
        assert await client.frame() == (TEXT, b"last")
        assert await client.closed_with() == (code, "that is all")
        await client.send(frame(TEXT, b"ignored as well") + frame(PING, b"?") + close_frame(code, "that is all"))
        assert await client.frame() == (PONG, b"?")
        assert await client.rest() == b""
        client.half_close()
        await port.told("open", "last", (code, "that is all"))
    assert port.counters.dropped == {}


async def test_the_code_that_came_is_told_rather_than_the_one_that_was_sent(log: Log) -> None:
    async with (
        Listener(log, on_open=lambda link: link.close(CloseCode.GOING_AWAY, "")) as port,
        port.upgraded() as client,
    ):
        assert await client.closed_with() == (1001, "")
        await client.send(close_frame(4321, "mine"))
        client.half_close()
        await port.told("open", (4321, "mine"))


async def test_a_session_can_refuse_an_ordinary_client_as_it_opens(log: Log) -> None:
    async with Listener(log, on_open=lambda link: link.close(CloseCode.TRY_AGAIN_LATER, "full")) as port:
        client = await connect(port.url, proxy=None)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1013, "full")


@pytest.mark.parametrize("close_first", ["server", "client"])
async def test_a_closing_handshake_that_is_not_finished_is_cut_short(log: Log, close_first: str) -> None:
    def leave(link: Link, text: str) -> None:
        del text
        link.close(CloseCode.GOING_AWAY, "we leave")

    async with Listener(log, SHORT, on_text=leave) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"leave") if close_first == "server" else close_frame(1001, "we leave"))
        assert await client.closed_with() == (1001, "we leave")
        await port.until(lambda: not port.connections)  # though the client keeps its end open
        assert port.session.told[-1] == (1001, "we leave")
    assert port.counters.dropped == {"no_close": 1}
    assert port.lines("media socket dropped") == [{"reason": "no_close", "log_level": "warning"}]


async def test_a_client_that_never_stops_talking_does_not_put_the_end_off(log: Log) -> None:
    async with (
        Listener(log, SHORT, on_open=lambda link: link.close(CloseCode.GOING_AWAY, "")) as port,
        port.upgraded() as client,
    ):
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await client.send(frame(TEXT, b"and another thing"))
                await asyncio.sleep(0.01)
        await port.until(lambda: not port.connections)
    assert port.counters.dropped == {"no_close": 1}
    assert port.session.told == ["open", (1001, "")]


# --- ends without a handshake ---------------------------------------------------------------------------------------


async def test_a_client_that_hangs_up_without_a_close_frame_is_lost(log: Log) -> None:
    async with Listener(log) as port:
        async with port.upgraded() as client:
            await client.send(frame(TEXT, b"half a mess")[:-4])
        await port.told("open", (1006, ""))
    assert port.counters.dropped == port.counters.failed == {}


async def test_a_client_that_resets_the_connection_is_lost(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        await client.send(frame(TEXT, b"last words"))
        await port.told("open", "last words")
        client.reset()
        await port.told("open", "last words", (1006, ""))
    assert port.counters.dropped == port.counters.failed == {}


@pytest.mark.parametrize("farewell", ["reset", "hang up"])
async def test_a_session_that_closes_its_lost_link_starts_nothing_any_more(log: Log, farewell: str) -> None:
    def close(link: Link) -> None:
        link.send(b"hello?")
        link.close(CloseCode.NORMAL, "")

    async with Listener(log, Limits(close_timeout=0.05), on_lost=close) as port, port.upgraded() as client:
        if farewell == "reset":
            client.reset()
        else:
            client.half_close()
        await port.told("open", (1006, ""))
        await asyncio.sleep(0.1)
    assert port.counters.dropped == {}
    assert log.lines == []


async def test_an_aborted_connection_is_lost(log: Log) -> None:
    async with Listener(log) as port, port.upgraded() as client:
        (connection,) = port.connections
        connection.abort()
        await port.told("open", (1006, ""))
        assert await client.rest() == b""


# --- signs of life --------------------------------------------------------------------------------------------------


async def test_a_silent_client_is_asked_and_dropped_if_it_says_nothing(log: Log) -> None:
    async with Listener(log, LIVELY) as port, port.upgraded() as client:
        started = time.monotonic()
        assert await client.frame() == (PING, b"")
        assert 0.05 < time.monotonic() - started < 1.0
        await port.told("open", (1006, ""))
    assert port.counters.dropped == {"no_sign_of_life": 1}
    assert port.lines("media socket dropped") == [{"reason": "no_sign_of_life", "log_level": "warning"}]


async def test_a_client_that_answers_stays(log: Log) -> None:
    """It is asked once for each silence, so the next question shows that the last answer counted."""
    limits = Limits(ping_interval=0.05, ping_timeout=0.3)
    async with Listener(log, limits) as port, port.upgraded() as client:
        for _ in range(2):
            assert await client.frame() == (PING, b"")
            await client.send(frame(PONG))
        await client.send(frame(TEXT, b"still here"))
        await port.told("open", "still here")
    assert port.counters.dropped == {}


async def test_a_client_that_speaks_is_not_asked(log: Log) -> None:
    async with Listener(log, Limits(ping_interval=0.3, ping_timeout=0.1)) as port, port.upgraded() as client:
        for _ in range(20):
            await client.send(frame(TEXT, b"x"))
            await asyncio.sleep(0.02)
        await client.send(close_frame(1000))
        assert await client.closed_with() == (1000, "")  # and no ping before it


# --- a client that does not read ------------------------------------------------------------------------------------


async def test_a_client_that_stops_reading_is_dropped_after_the_write_timeout(log: Log) -> None:
    async with (
        Listener(
            log, SLOW_READER, on_text=lambda link, text: link.send(b"x" * 200_000), send_buffer=SMALL_BUFFER
        ) as port,
        port.upgraded(receive_buffer=SMALL_BUFFER) as client,
    ):
        started = time.monotonic()
        await client.send(frame(TEXT, b"go"))
        await port.told("open", "go", (1006, ""))
        assert 0.1 < time.monotonic() - started < 2.0
    assert port.counters.dropped == {"does_not_read": 1}
    assert port.lines("media socket dropped") == [{"reason": "does_not_read", "log_level": "warning"}]


async def test_a_client_that_reads_slowly_is_not_dropped_while_it_reads(log: Log) -> None:
    async with Listener(
        log,
        Limits(write_timeout=0.3),
        on_text=lambda link, text: link.send(b"x" * 200_000),
        send_buffer=SMALL_BUFFER,
    ) as port:
        async with port.upgraded(receive_buffer=SMALL_BUFFER) as client:
            for _ in range(4):
                await client.send(frame(TEXT, b"go"))
                await asyncio.sleep(0.1)
                assert await client.frame() == (TEXT, b"x" * 200_000)
        await port.told("open", "go", "go", "go", "go", (1006, ""))
    assert port.counters.dropped == {}


async def test_a_client_for_which_too_much_waits_is_dropped_at_once(log: Log) -> None:
    sent: list[int] = []

    def flood(link: Link) -> None:
        for number in range(40):
            link.send(b"x" * 50_000)
            sent.append(number)

    def flood_later(link: Link, text: str) -> None:
        del text
        asyncio.get_running_loop().call_soon(flood, link)

    async with (
        Listener(log, Limits(max_write_bytes=500_000), on_text=flood_later, send_buffer=SMALL_BUFFER) as port,
        port.upgraded(receive_buffer=SMALL_BUFFER) as client,
    ):
        await client.send(frame(TEXT, b"go"))
        await port.told("open", "go", (1006, ""))
    assert len(sent) == 40  # nothing was raised into whoever sent it
    assert port.counters.dropped == {"does_not_read": 1}
    assert len(port.lines("media socket dropped")) == 1


@pytest.mark.parametrize("how", ["never reads", "stops sending as well"])
async def test_a_client_that_does_not_read_its_close_frame_is_dropped(log: Log, how: str) -> None:
    def fill_and_leave(link: Link, text: str) -> None:
        link.send(b"x" * 50_000)  # more than the system's buffers hold, and less than would pause the writing
        if text == "close":
            link.close(CloseCode.NORMAL, "")

    limits = Limits(close_timeout=0.15, ping_interval=0.3, ping_timeout=0.1)
    async with (
        Listener(log, limits, on_text=fill_and_leave, send_buffer=SMALL_BUFFER) as port,
        port.upgraded(receive_buffer=SMALL_BUFFER) as client,
    ):
        await client.send(frame(TEXT, b"close" if how == "never reads" else b"stay"))
        await port.until(lambda: port.sessions and len(port.session.told) == 2)
        if how != "never reads":
            client.half_close()
        await port.until(lambda: not port.connections)
    assert port.counters.dropped == {"no_close": 1}
