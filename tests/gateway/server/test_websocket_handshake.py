import asyncio
import logging

import pytest
from websockets.asyncio.client import connect

from gateway.errors import AdmissionError
from gateway.server.transport import Limits
from tests.gateway.control.conftest import Log
from tests.gateway.server.listener import Listener
from tests.gateway.server.wire import PING, PONG, TEXT, close_frame, frame, upgrade

pytestmark = pytest.mark.usefixtures("transport")

SHORT = Limits(handshake_timeout=0.1, close_timeout=0.1)
NOT_ADMITTED = AdmissionError("bad_token", 403, "the token is not good")


async def test_an_upgrade_request_is_answered_as_the_standard_has_it(log: Log) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(upgrade("/media/x?y=1", {"X-Custom": "1", "Sec-WebSocket-Extensions": "permessage-deflate"}))
        head = await client.answer()
        assert head.startswith("HTTP/1.1 101 ")
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # the example of RFC 6455 section 1.3
        assert "extensions" not in head.lower()
        await port.told("open")
        handshake = port.session.handshake
        assert handshake.path == "/media/x?y=1"
        assert (handshake.headers["host"], handshake.headers["x-custom"]) == ("localhost", "1")
        assert handshake.peer == "{}:{}".format(*client.socket.getsockname())


async def test_an_ordinary_websocket_client_is_let_in(log: Log) -> None:
    async with Listener(log) as port, connect(port.url, proxy=None) as client:
        assert client.protocol.extensions == []
        await port.told("open")


async def test_a_request_may_come_octet_by_octet(log: Log) -> None:
    async with Listener(log) as port, port.client() as client:
        for octet in upgrade():
            await client.send(bytes([octet]))
        assert (await client.answer()).startswith("HTTP/1.1 101 ")
        assert port.session.handshake.path == "/media"


async def test_of_a_repeated_header_the_last_counts(log: Log) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(upgrade(headers={"X-A": "1\r\nX-a: 2"}))
        await client.answer()
        assert port.session.handshake.headers["x-a"] == "2"


@pytest.mark.parametrize(
    ("request_octets", "status"),
    [
        (upgrade().replace(b"GET", b"POST"), 405),
        (upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 505),
        (upgrade(headers={"Upgrade": None, "Connection": None}), 426),
        (upgrade(headers={"Upgrade": "h2c"}), 426),
        (upgrade(headers={"Connection": "keep-alive"}), 426),
        (upgrade(headers={"Sec-WebSocket-Key": None}), 400),
        (upgrade(headers={"Sec-WebSocket-Key": "c2hvcnQ="}), 400),
        (upgrade(headers={"Sec-WebSocket-Version": "8"}), 400),
        (upgrade("/" + "x" * 9000), 414),
        (b"x" * 9000, 414),
        (upgrade(headers={f"X-{number}": "1" for number in range(200)}), 431),
        (upgrade(headers={"X-Long": "1" * 9000}), 431),
    ],
    ids=range(12),
)
async def test_what_is_no_upgrade_request_is_refused_with_its_status(
    log: Log, request_octets: bytes, status: int
) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(request_octets)
        assert (await client.answer()).startswith(f"HTTP/1.1 {status} ")
        await client.rest()
    assert port.sessions == []
    assert port.counters.refused == {"no_websocket": 1}
    assert [line["reason"] for line in port.lines("media socket refused")] == ["no_websocket"]


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS
        b"hello\r\n\r\n",
        b"GET /media HTTP/2.0\r\n\r\n",
        b"GET /m\xc3\xa9dia HTTP/1.1\r\n\r\n",
        upgrade(headers={"Content-Length": "5"}) + b"12345",
        upgrade(headers={"Transfer-Encoding": "chunked"}),
        upgrade(headers={"Bad Name": "x"}),
    ],
    ids=range(7),
)
async def test_what_is_not_even_http_is_hung_up_on_and_counted(log: Log, octets: bytes) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(octets)
        assert await client.rest() == b""
    assert port.sessions == []
    assert port.counters.refused == {"no_websocket": 1}


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_who_is_not_admitted_gets_the_status_and_the_reason_and_no_session(log: Log, status: int) -> None:
    refuse = AdmissionError("why", status, "in so many words")
    async with Listener(log, refuse=refuse) as port, port.client() as client:
        await client.send(upgrade())
        assert (await client.answer()).startswith(f"HTTP/1.1 {status} ")
        assert await client.rest() == b"in so many words\n"
    assert port.sessions == []
    assert port.counters.refused == {"why": 1}
    assert port.lines("media socket refused") == [{"reason": "why", "status": status, "log_level": "warning"}]


async def test_a_refused_client_that_does_not_hang_up_is_dropped(log: Log) -> None:
    async with Listener(log, SHORT, refuse=NOT_ADMITTED) as port, port.client() as client:
        assert await client.upgrade() == 403
        await port.until(lambda: not port.connections)
    assert port.counters.dropped == {"no_close": 1}


@pytest.mark.parametrize("first", [b"", b"GET /media HTTP/1.1\r\nHost:", upgrade()[:-2]])
async def test_a_handshake_that_is_not_finished_in_time_is_dropped(log: Log, first: bytes) -> None:
    async with Listener(log, SHORT) as port, port.client() as client:
        await client.send(first)
        assert await client.rest() == b""
    assert port.counters.dropped == {"no_handshake": 1}
    assert [line["reason"] for line in port.lines("media socket dropped")] == ["no_handshake"]
    assert port.sessions == []


async def test_a_handshake_that_dribbles_in_wins_no_time(log: Log) -> None:
    async with Listener(log, SHORT) as port, port.client() as client:
        started = asyncio.get_running_loop().time()
        try:
            for octet in upgrade():
                await client.send(bytes([octet]))
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass  # it was dropped between two octets
        await port.until(lambda: not port.connections)
        assert asyncio.get_running_loop().time() - started < 1.0
    assert port.counters.dropped == {"no_handshake": 1}


async def test_the_handshakes_time_is_over_with_the_upgrade(log: Log) -> None:
    async with Listener(log, SHORT) as port, port.client() as client:
        await client.upgrade()
        await asyncio.sleep(0.15)
        await client.send(frame(TEXT, b"still here"))
        await port.told("open", "still here")
    assert port.counters.dropped == {}


async def test_who_connects_and_leaves_without_a_word_is_no_matter(log: Log) -> None:
    """Load balancers look whether the port is open this way, every few seconds."""
    async with Listener(log) as port:
        async with port.client():
            await port.until(lambda: port.connections)
        await port.until(lambda: not port.connections)
        async with port.client() as client:
            await port.until(lambda: port.connections)
            client.reset()
            await port.until(lambda: not port.connections)
    assert port.counters.refused == port.counters.dropped == {}
    assert log.lines == []


async def test_a_message_in_the_same_segment_as_the_request_is_not_lost(log: Log) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(upgrade() + frame(TEXT, b"eager"))
        assert (await client.answer()).startswith("HTTP/1.1 101 ")
        await port.told("open", "eager")


@pytest.mark.parametrize("refuse", [None, NOT_ADMITTED])
@pytest.mark.parametrize(
    "early",
    [
        frame(TEXT, b"x", masked=False),
        frame(TEXT, b"x", reserved=4),
        close_frame(1000),
        frame(PING, b"?"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 2000,
    ],
    ids=["unmasked", "reserved", "close", "ping", "pipelined", "garbage"],
)
async def test_nothing_in_the_same_segment_as_the_request_does_harm(
    log: Log, early: bytes, refuse: AdmissionError | None
) -> None:
    """The listener fails the test if anything was raised into the event loop."""
    async with Listener(log, SHORT, refuse=refuse) as port, port.client() as client:
        await client.send(upgrade() + early)
        client.half_close()
        await client.rest()
        await port.until(lambda: not port.connections)
    for session in port.sessions:
        assert [type(item) for item in session.told] in ([str, tuple], [tuple])


async def test_an_early_ping_is_answered_behind_the_handshake(log: Log) -> None:
    async with Listener(log) as port, port.client() as client:
        await client.send(upgrade() + frame(PING, b"?"))
        assert (await client.answer()).startswith("HTTP/1.1 101 ")
        assert await client.frame() == (PONG, b"?")
        await port.told("open")


async def test_no_log_holds_the_path_or_a_header(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for refuse in (None, NOT_ADMITTED):
        async with Listener(log, refuse=refuse) as port, port.client() as client:
            await client.upgrade("/media/the-token", {"X-Token": "the-token"})
            await client.send(frame(TEXT, b"the-token"))
            if refuse is None:
                await port.told("open", "the-token")
    async with Listener(log) as port, port.client() as client:
        await client.send(upgrade("/media/the-token").replace(b"GET", b"PUT"))
        await client.rest()
    assert "the-token" not in caplog.text
    assert "the-token" not in repr(log.lines)
