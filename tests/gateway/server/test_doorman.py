"""Media sockets that reach another worker than that of their call; both are here, each with a port of its own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.cluster.slot import WorkerSlot
from gateway.protocol.messages import AUTH_FIELD, MediaFormat
from gateway.server.doorman import Doorman
from gateway.server.transport import Limits
from tests.gateway.control.conftest import Log
from tests.gateway.server.listener import ByHand
from tests.gateway.server.media_port import MediaPort, media_port
from tests.gateway.server.wire import TEXT, RawClient, frame, until, upgrade

pytestmark = pytest.mark.usefixtures("transport")
SOUND = bytes(range(120)) + bytes(range(130, 170))  # without 127, which PCMU decodes to the same as 255


class Workers(NamedTuple):
    """The owner of the calls, and the one that their sockets reach."""

    owner: MediaPort
    other: MediaPort


@asynccontextmanager
async def workers(log: Log, **how: Any) -> AsyncIterator[Workers]:
    with tempfile.TemporaryDirectory() as folder:
        owner, other = (WorkerSlot(index, 2, Path(folder), b"k" * 32) for index in range(2))
        async with media_port(log, slot=owner, **how) as first, media_port(log, slot=other, **how) as second:
            yield Workers(first, second)


async def nothing_left(port: MediaPort) -> None:
    """Wait until a worker has let go of what it handed over, and make sure that it counted nothing amiss."""
    await until(lambda: port.server.describe()["sockets_open"] == 0)
    told = port.server.describe()
    assert [told[name] for name in ("sockets_refused", "sockets_failed", "sockets_dropped")] == [{}, {}, {}]
    assert told["calls_started"] == 0


@pytest.mark.parametrize("place", ["header", "path"])
async def test_a_socket_is_served_by_the_worker_that_its_token_names(log: Log, place: str) -> None:
    async with workers(log) as (owner, other):
        token = owner.token()
        how: dict[str, Any] = {"token": token} if place == "header" else {"path": "/" + token}
        async with other.socket(**how) as caller:
            await caller.begin()
            assert await caller.echoes(SOUND)
            assert owner.server.calls_running == 1
            await nothing_left(other)
            await caller.send(caller.carrier.send_stop())
            assert await caller.closed() == (1000, "stream stopped")
        assert (await owner.stopped())["received"]["packets_received"] == 1
        assert owner.handover is not None
        assert other.handover is not None
        assert (owner.handover.describe(), other.handover.describe()) == (
            {"sockets_handed_over": 0, "sockets_taken_over": 1},
            {"sockets_handed_over": 1, "sockets_taken_over": 0},
        )


async def test_what_comes_to_the_right_worker_stays_there(log: Log) -> None:
    async with workers(log) as (owner, other):
        async with owner.call() as caller:
            assert await caller.echoes(SOUND)
        await nothing_left(other)
        assert owner.handover is not None
        assert owner.handover.describe() == {"sockets_handed_over": 0, "sockets_taken_over": 0}


async def test_nothing_stands_between_a_frame_and_a_connection_that_was_let_in(log: Log) -> None:
    async with workers(log) as (owner, _):
        caller = ByHand(owner.server._incoming())
        assert isinstance(caller._protocol, Doorman)
        await caller.receive(upgrade(headers={AUTH_FIELD: owner.token()}))
        assert caller.sent.startswith(b"HTTP/1.1 101")
        assert not isinstance(caller._protocol, Doorman)
        caller.end()


async def test_the_request_may_come_in_pieces_and_with_frames_behind_it(log: Log) -> None:
    async with workers(log) as (owner, other):
        request = upgrade(headers={AUTH_FIELD: owner.token()})
        async with RawClient(other.server.address) as client:
            for start in range(0, len(request) - 1, 50):
                await client.send(request[start : start + 50][: len(request) - 1 - start])
                await asyncio.sleep(0.001)
            await client.send(
                request[-1:] + frame(TEXT, b'{"event":"connected","version":"1.0.0"}') + frame(TEXT, b"?")
            )
            assert (await client.answer()).startswith("HTTP/1.1 101")
            await until(lambda: owner.server.messages_bad == 1)  # both frames were read, in order
            await nothing_left(other)


async def test_many_sockets_are_handed_over_at_once(log: Log) -> None:
    async with workers(log, max_calls=100) as (owner, other):

        async def one(number: int) -> bool:
            token = owner.token(f"v3:{number}")
            async with other.socket(f"v3:{number}", f"STREAM-{number}", token=token) as caller:
                await caller.begin()
                return await caller.echoes(SOUND)

        assert all(await asyncio.gather(*(one(number) for number in range(60))))
        assert owner.server.calls_started == 60
        await nothing_left(other)


async def test_a_call_goes_on_when_its_next_socket_reaches_the_other_worker(log: Log) -> None:
    async with workers(log, reconnect_grace=5.0) as (owner, other):
        token = owner.token()
        async with owner.call(token=token) as first:
            first.socket.transport.abort()
            await until(lambda: owner.server.describe()["streams_lost"] == 1)
            async with other.socket(token=token) as second:
                await second.begin()
                assert await second.echoes(SOUND)
                assert (owner.server.calls_started, owner.server.reconnects) == (1, 1)


async def test_a_token_that_comes_too_late_stays_where_it_came_with_the_codec_that_was_asked_for(log: Log) -> None:
    async with workers(log) as (owner, other):
        token = owner.token(asked_codec=("L16", 8000))
        async with other.socket(late_token=token) as caller:
            await caller.begin()
            await caller.say(SOUND)
            assert len(await caller.hear(320)) == 320
            await caller.send(caller.carrier.send_stop())
            assert (await other.stopped())["played_codec"] == "L16/8000"
        async with other.socket("v3:another", late_token=token) as stranger:
            await stranger.begin()
            assert await stranger.closed() == (1008, "not admitted")
        other.admission.call_ended("v3:a")
        async with other.socket(late_token=token) as again:
            await again.begin()
            assert await again.closed() == (1008, "not admitted")
        await nothing_left(owner)


async def test_where_the_owner_is_gone_its_socket_is_refused(log: Log) -> None:
    async with workers(log) as (owner, other):
        assert owner.handover is not None
        with tempfile.TemporaryDirectory() as folder:
            gone = WorkerSlot(0, 2, Path(folder), b"k" * 32)
            async with media_port(log, slot=WorkerSlot(1, 2, Path(folder), b"k" * 32)) as left:
                assert gone.media_path(0).exists() is False
                async with RawClient(left.server.address) as client:
                    assert await client.upgrade(headers={AUTH_FIELD: owner.token()}) == 503
                assert left.server.describe()["sockets_refused"] == {"worker_gone": 1}
        await nothing_left(other)


@pytest.mark.parametrize("token", ["nonsense", "A" * 64])
async def test_a_token_that_nobody_signed_leads_nowhere(log: Log, token: str) -> None:
    async with workers(log) as (owner, other):
        async with RawClient(other.server.address) as client:
            assert await client.upgrade(headers={AUTH_FIELD: token}) == 403
        assert other.server.describe()["sockets_refused"] == {"bad_token": 1}
        await nothing_left(owner)


async def test_a_request_longer_than_any_is_judged_where_it_came(log: Log) -> None:
    async with workers(log) as (owner, other):
        async with RawClient(other.server.address) as client:
            token = {AUTH_FIELD: owner.token()}
            assert await client.upgrade(headers=token | {f"X-{n}": "x" * 8000 for n in range(9)}) == 503
        await nothing_left(owner)


@pytest.mark.parametrize("octets", [b"GET /media HTTP/1.1\r\n\r\n", b"\x00\xff\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_request_is_refused_where_it_came(log: Log, octets: bytes) -> None:
    async with workers(log) as (_, other):
        async with RawClient(other.server.address) as client:
            await client.send(octets)
            await client.rest()
        assert other.server.describe()["sockets_refused"] == {"no_websocket": 1}


async def test_who_says_nothing_is_cut_off_as_ever_and_who_hangs_up_is_forgotten(log: Log) -> None:
    async with workers(log, limits=Limits(handshake_timeout=0.1, close_timeout=0.2)) as (_, other):
        async with RawClient(other.server.address) as silent:
            await silent.send(b"GET /media HT")
            assert await silent.rest() == b""
        assert other.server.describe()["sockets_dropped"] == {"no_handshake": 1}
        async with RawClient(other.server.address) as client:
            await client.send(b"GET /media HT")
            client.half_close()
            await client.rest()
        await until(lambda: other.server.describe()["sockets_open"] == 0)


async def test_an_open_door_keeps_what_comes(log: Log) -> None:
    async with workers(log, auth="none") as (owner, other):
        async with other.call(token=None, media_format=MediaFormat("PCMA", 8000)) as caller:
            assert await caller.echoes(bytes(range(160)))
        await nothing_left(owner)
