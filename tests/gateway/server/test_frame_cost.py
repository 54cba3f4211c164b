"""What a frame of sound costs, counted in calls: a gate that neither a busy machine nor a slow one can move.

CPU is measured by `benchmarks.bench_capacity`. Here every call that the interpreter makes for a frame is counted, of
our functions and of those in C: on its way in, through the level meter and the echo agent, and out to the socket. And
beside it those for the same text through the same connection, with nothing behind it but an echo.
"""

import asyncio
import sys
from pathlib import Path
from types import FrameType

from audio_codecs import encode_ulaw
from gateway.protocol.messages import AUTH_FIELD, MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream
from gateway.server.transport import Handshake, Limits, Link, SocketCounters
from gateway.server.websocket import WebSocketConnection
from gateway.sinks.level import level
from gateway.sinks.url import SinkConfig
from tests.fakes import noise
from tests.gateway.control.conftest import Log
from tests.gateway.server.listener import ByHand
from tests.gateway.server.media_port import PCMU, media_port
from tests.gateway.server.wire import TEXT, frame, upgrade

FRAMES = 100
SOUND = encode_ulaw(noise(160))
MOST_CALLS = 60  # 50 as this is written
MOST_TIMES_BARE = 3.6  # 3.2


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class BareEcho:
    def __init__(self, link: Link) -> None:
        self.send = link.send

    def link_open(self) -> None:
        pass

    def text_received(self, text: bytes, *, now: float) -> None:
        self.send(text)

    def link_lost(self, code: int, reason: str) -> None:
        pass


def bare_connection(log: Log, clock: Clock) -> WebSocketConnection:
    def admit(handshake: Handshake, link: Link) -> BareEcho:
        return BareEcho(link)

    return WebSocketConnection(
        admit=admit,
        limits=Limits(),
        clock=clock,
        counters=SocketCounters(),
        log=log.logger,
        on_open=lambda connection: None,
        on_close=lambda connection: None,
    )


def texts(carrier: CarrierStream) -> list[bytes]:
    return [frame(TEXT, carrier.send_media("inbound", SOUND, timestamp=20 * k)) for k in range(FRAMES)]


def calls_per_frame(connection: WebSocketConnection, frames: list[bytes], clock: Clock) -> float:
    count = 0

    def counted(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    for octets in frames:
        clock.now += 0.02
        sys.setprofile(counted)
        connection.data_received(octets)
        sys.setprofile(before)
    return count / len(frames)


async def test_a_frame_on_its_whole_way_makes_no_more_calls_than_it_needs(log: Log, tmp_path: Path) -> None:
    clock = Clock()
    carrier = CarrierStream("STREAM", StartBody(call_control_id="v3:a", media_format=MediaFormat(*PCMU)))
    bare = bare_connection(log, clock)
    alone = ByHand(bare)
    await alone.receive(upgrade())
    cost_of_bare = calls_per_frame(bare, texts(carrier), clock)
    alone.end()
    assert alone.sent.count(b'"event":"media"') == FRAMES

    sinks = {"level": level(SinkConfig(path="", options={}, data_dir=tmp_path, log=log.logger))}
    async with media_port(log, sinks=sinks, clock=clock) as port:
        connection = port.server._connection()
        caller = ByHand(connection)
        await caller.receive(upgrade(headers={AUTH_FIELD: port.token()}))
        await caller.receive(frame(TEXT, carrier.send_connected()) + frame(TEXT, carrier.send_start()))
        for octets in texts(carrier):  # until the agent listens, and all is warm
            clock.now += 0.02
            await caller.receive(octets)
            await asyncio.sleep(0)
        before = caller.sent.count(b'"event":"media"')
        cost = calls_per_frame(connection, texts(carrier), clock)
        echoed = caller.sent.count(b'"event":"media"') - before
        caller.end()
    assert echoed == FRAMES
    assert cost <= MOST_CALLS, (cost, cost_of_bare)
    assert cost <= MOST_TIMES_BARE * cost_of_bare, (cost, cost_of_bare)
