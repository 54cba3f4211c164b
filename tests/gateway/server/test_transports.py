import asyncio
import gc
import logging
import sys
import weakref
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from gateway.config import Settings, parse_address
from gateway.errors import ConfigError
from gateway.gateway import Gateway
from gateway.server.media_server import MediaServer
from gateway.server.transport import Limits
from gateway.server.transports import find_transport
from gateway.server.websocket import WebSocketConnection
from tests.gateway.control.conftest import Log
from tests.gateway.server import chosen
from tests.gateway.server.listener import Listener
from tests.gateway.server.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, RawClient, frame

SMALL = Limits(max_message_bytes=600)
SILENT = structlog.make_filtering_bound_logger(logging.CRITICAL)
SHORT = st.binary(max_size=125)
GOOD = st.one_of(
    st.builds(frame, st.just(TEXT), st.text(max_size=150).map(str.encode)),
    st.builds(frame, st.sampled_from([PING, PONG]), SHORT),
    st.builds(lambda start, ping, end: frame(TEXT, start, fin=False) + frame(PING, ping) + frame(CONT, end),
              st.sampled_from([b"", b"x", b"x" * 300]), SHORT, st.sampled_from([b"", b"y", b"y" * 300])),
)  # fmt: skip
ANY = st.builds(
    frame,
    st.sampled_from([CONT, TEXT, BINARY, CLOSE, PING, PONG, 0x3, 0xB]),
    st.one_of(
        st.binary(max_size=130),
        st.sampled_from([b"x" * size for size in (125, 126, 599, 600, 601)]),
        st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x03", b"\x03\xe8\xff", b"\x13\x88"]),
    ),
    fin=st.booleans(),
    masked=st.integers(0, 9).map(bool),
    reserved=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 4]),
)


async def _conversation(name: str, pieces: list[bytes]) -> tuple[list[str], str]:
    """What a session is told of these octets, and the close frame that answers them.

    A frame may break several rules at once, so these codes are one here; tests of each rule have the right one.
    """

    def told(code: int) -> str:
        return "broken" if code in (1002, 1007, 1009) else str(code)

    with chosen.using(name):
        port = Listener(Log(structlog.wrap_logger(None, wrapper_class=SILENT), []), SMALL)
    async with port.by_hand() as connection:
        for piece in pieces:
            await connection.receive(piece)
    answers = connection.sent.partition(b"\r\n\r\n")[2]
    closed = ""
    while answers:
        if answers[0] == 0x80 | CLOSE:
            closed += told(int.from_bytes(answers[2 : min(4, 2 + answers[1])]))
        answers = answers[2 + answers[1] :]
    return [item if isinstance(item, str) else told(item[0]) for item in port.session.told], closed


@settings(max_examples=150, deadline=None)
@given(good=st.lists(GOOD, max_size=4), last=ANY, cuts=st.lists(st.integers(0, 2000), max_size=4))
async def test_both_transports_tell_the_same_of_whatever_comes_and_answer_it_alike(
    good: list[bytes], last: bytes, cuts: list[int]
) -> None:
    octets = b"".join(good) + last
    places = [0, *sorted(place for place in cuts if place < len(octets)), len(octets)]
    pieces = [octets[start:end] for start, end in pairwise(places)]
    assert await _conversation("picows", pieces) == await _conversation("websockets", pieces)


def test_a_transport_that_is_not_installed_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picows", None)
    monkeypatch.delitem(sys.modules, "gateway.server.picows_transport", raising=False)
    with pytest.raises(ConfigError, match=r"GATEWAY_TRANSPORT: .*telnyx-media-gateway\[fast\]"):
        find_transport("picows")


async def test_a_connection_that_is_over_leaves_nothing_behind(log: Log, transport: str) -> None:
    async with Listener(log) as port:
        client = await connect(port.url, proxy=None)
        await client.send("x" * 100_000)
        await port.told("open", "x" * 100_000)
        (connection,) = port.connections
        gone = weakref.ref(connection)
        del connection
        await client.close()
        await port.until(lambda: not port.connections)
        port.sessions.clear()
        await asyncio.sleep(0)
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("name", ["websockets", "picows"])
async def test_the_gateway_takes_the_transport_that_the_settings_name(
    log: Log, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def opened(server: MediaServer, connection: WebSocketConnection) -> None:
        made.append(type(connection))
        connection.abort()

    monkeypatch.setattr(MediaServer, "_opened", opened)
    values = {"transport": name, "media_listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0", "data_dir": tmp_path}
    settings = Settings.model_validate(values | {"media_auth": "none"})
    async with Gateway(settings, log=log.logger) as gateway:
        address = parse_address(gateway.media_url.removeprefix("ws://").removesuffix("/media"))
        async with RawClient(address) as client:
            assert await client.rest() == b""
    assert made == [find_transport(name).connection]
