"""Open TCP connections from worker to worker."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cluster.handover import Handover
from gateway.cluster.slot import WorkerSlot
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log


class Taken:
    """What a worker has been given."""

    def __init__(self) -> None:
        self.come: asyncio.Queue[tuple[socket.socket, bytes]] = asyncio.Queue()

    def __call__(self, connection: socket.socket, octets: bytes) -> None:
        self.come.put_nowait((connection, octets))

    async def next(self) -> tuple[socket.socket, bytes]:
        async with asyncio.timeout(2):
            return await self.come.get()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: the caller's end, and ours."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as caller,
        server.accept()[0] as accepted,
    ):
        caller.settimeout(2)
        yield caller, accepted


@pytest.fixture
def ends(tmp_path: Path, log: Log) -> tuple[Handover, Handover]:
    """Those of two workers."""
    one, other = (Handover(WorkerSlot(index, 2, tmp_path, b"key"), log=log.logger) for index in range(2))
    return one, other


async def test_the_connection_and_what_was_read_of_it_come_to_the_other_worker(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket]
) -> None:
    caller, accepted = connection
    taken = Taken()
    with ends[1].taking(taken):
        assert ends[0].give(1, accepted.fileno(), b"GET /")
        accepted.close()  # the connection stays
        caller.sendall(b" HTTP/1.1")
        theirs, octets = await taken.next()
        with theirs:
            assert octets == b"GET /"
            assert theirs.get_inheritable() is False
            assert theirs.gettimeout() == 0
            await asyncio.get_running_loop().sock_sendall(theirs, b"101")
            assert caller.recv(10) == b"101"
            assert await asyncio.get_running_loop().sock_recv(theirs, 100) == b" HTTP/1.1"
        assert caller.recv(10) == b""
    assert (ends[0].given, ends[0].taken, ends[1].given, ends[1].taken) == (1, 0, 0, 1)


async def test_many_wait_for_a_worker_that_is_busy(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket]
) -> None:
    taken = Taken()
    with ends[1].taking(taken):
        for number in range(300):  # and the event loop has no turn in between
            assert ends[0].give(1, connection[1].fileno(), str(number).encode())
        numbers = []
        for _ in range(300):
            theirs, octets = await taken.next()
            theirs.close()
            numbers.append(int(octets))
    assert sorted(numbers) == list(range(300))


@pytest.mark.parametrize("worker", [-1, 1, 2, 255])
async def test_a_worker_that_is_not_there_takes_nothing(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket], worker: int
) -> None:
    with ends[0].taking(Taken()):
        assert ends[0].give(worker, connection[1].fileno(), b"GET /") is False
    assert ends[0].given == 0


async def test_what_no_honest_request_is_as_long_as_is_not_given(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket]
) -> None:
    taken = Taken()
    with ends[1].taking(taken):
        assert ends[0].give(1, connection[1].fileno(), b"x" * 65_537) is False
        assert ends[0].give(1, connection[1].fileno(), b"x" * 65_536) is True
        theirs, octets = await taken.next()
        theirs.close()
        assert len(octets) == 65_536


async def test_a_connection_on_its_way_to_a_worker_that_dies_is_closed(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket]
) -> None:
    caller, accepted = connection
    with ends[1].taking(Taken()):
        assert ends[0].give(1, accepted.fileno(), b"GET /")
        accepted.close()
    assert caller.recv(10) == b""  # nobody has it any more, as with the process


async def test_a_worker_that_dies_before_it_has_given_leaves_nothing(ends: tuple[Handover, Handover]) -> None:
    taken = Taken()
    with ends[1].taking(taken):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dying:
            dying.connect(str(ends[1]._slot.media_path(1)))
            await asyncio.sleep(0.01)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as speaking:
            speaking.connect(str(ends[1]._slot.media_path(1)))
            speaking.send(b"only words")
            await asyncio.sleep(0.01)
        assert taken.come.empty()
    assert ends[1].taken == 0


async def test_a_worker_takes_the_place_of_one_that_was_killed(
    ends: tuple[Handover, Handover], connection: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as killed:
        killed.bind(str(tmp_path / "1.media"))
    assert ends[0].give(1, connection[1].fileno(), b"GET /") is False
    taken = Taken()
    with ends[1].taking(taken):
        assert ends[0].give(1, connection[1].fileno(), b"GET /") is True
        (await taken.next())[0].close()
