import asyncio
from typing import Any, Self

import pytest
from websockets.exceptions import InvalidStatus

from audio_codecs import ByteOrder, Samples, encode_l16, encode_ulaw
from gateway.call import Call
from gateway.lifecycle import CallState
from gateway.media.frame import AudioFrame
from gateway.protocol.messages import MediaFormat
from gateway.sinks.base import INBOUND, StreamInfo
from tests.fakes import ListSink, acting, noise
from tests.gateway.control.conftest import Log
from tests.gateway.server.media_port import media_port
from tests.gateway.server.wire import until

pytestmark = pytest.mark.usefixtures("transport")

SOUND = encode_ulaw(noise(160))


def packets(count: int) -> list[bytes]:
    """Packets of 20 ms, no two alike."""
    return [encode_ulaw(noise(160, seed)) for seed in range(count)]


# --- one stream -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["header", "path", "connected"])
async def test_a_token_opens_a_stream_wherever_it_stands(log: Log, place: str) -> None:
    async with media_port(log) as port:
        token = port.token()
        how: dict[str, Any] = {
            "header": {"token": token},
            "path": {"path": "/" + token},
            "connected": {"late_token": token},
        }[place]
        async with port.socket(**how) as caller:
            await caller.begin()
            assert await caller.echoes(SOUND)
            assert port.state() is CallState.STREAMING
            assert port.server.calls_running == 1
            await caller.send(caller.carrier.send_stop())
            assert await caller.closed() == (1000, "stream stopped")
        report = await port.stopped()
        assert (report["end_reason"], report["received"]["packets_received"]) == ("stop", 1)
        assert port.server.calls_running == 0
        assert port.server.describe() == {
            "calls_running": 0,
            "calls_started": 1,
            "reconnects": 0,
            "sessions_ended": {"stop": 1},
            "messages_bad": 0,
            "streams_lost": 0,
            "sockets_open": 0,
            "sockets_refused": {},
            "sockets_failed": {},
            "sockets_dropped": {},
        }
    assert token not in repr(log.lines)


async def test_a_stream_is_told_in_the_log_with_its_ids(log: Log) -> None:
    async with media_port(log) as port, port.call() as caller:
        await caller.send(caller.carrier.send_stop())
        await caller.closed()
        await port.stopped()
    ids = {"stream_id": "STREAM", "call_control_id": "v3:a", "log_level": "info"}
    assert port.logged("stream started") == [{"event": "stream started", "codec": "PCMU/8000", **ids}]
    assert port.logged("stream ended") == [{"event": "stream ended", "reason": "stop", **ids}]


@pytest.mark.parametrize(("path", "status"), [("/nonsense", 403), ("/" + "A" * 64, 403), ("x", 404), ("/a/b", 404)])
async def test_a_wrong_token_or_path_is_refused_before_the_upgrade(log: Log, path: str, status: int) -> None:
    async with media_port(log) as port:
        with pytest.raises(InvalidStatus) as raised:
            async with port.socket(path=path):
                pytest.fail("the door stands open")
        assert raised.value.response.status_code == status
        assert sum(port.server.describe()["sockets_refused"].values()) == 1


async def test_the_token_of_a_call_that_hung_up_is_refused(log: Log) -> None:
    async with media_port(log) as port:
        token = port.token()
        port.admission.call_ended("v3:a")
        with pytest.raises(InvalidStatus):
            async with port.socket(token=token):
                pytest.fail("the door stands open")


async def test_the_token_of_another_call_is_refused_at_start(log: Log) -> None:
    async with media_port(log) as port, port.socket("v3:b", token=port.token("v3:a")) as caller:
        await caller.begin()
        assert await caller.closed() == (1008, "not admitted")
        assert port.server.describe()["sessions_ended"] == {"not_admitted": 1}
        assert port.directory.get("v3:b") is None


@pytest.mark.parametrize("late_token", [None, "nonsense"])
async def test_without_a_good_token_the_socket_is_closed_at_connected(log: Log, late_token: str | None) -> None:
    async with media_port(log) as port, port.socket(late_token=late_token) as caller:
        await caller.begin()
        assert await caller.closed() == (1008, "not admitted")
        assert port.server.calls_started == 0


async def test_an_open_door_admits_without_tokens_and_answers_in_the_streams_own_codec(log: Log) -> None:
    pcma = MediaFormat("PCMA", 8000)
    async with media_port(log, auth="none") as port, port.call(token=None, media_format=pcma) as caller:
        assert await caller.echoes(bytes(range(160)))


@pytest.mark.parametrize("byte_order", ["little", "big"])
async def test_l16_is_echoed_in_either_byte_order(log: Log, byte_order: ByteOrder) -> None:
    sink = ListSink()
    sound = noise(320)
    async with media_port(log, byte_order=byte_order, sinks={"list": sink.factory}) as port:
        token = port.token(asked_codec=("L16", 16000))
        async with port.call(token=token, media_format=MediaFormat("L16", 16000)) as caller:
            assert await caller.echoes(encode_l16(sound, byte_order=byte_order))
    assert sink.sound().tolist() == sound.tolist()


async def test_the_answer_goes_out_in_the_codec_that_was_asked_for_and_not_in_the_one_that_comes(log: Log) -> None:
    async with media_port(log) as port:
        async with port.call(token=port.token(asked_codec=("L16", 8000))) as caller:
            await caller.say(*packets(5))
            assert len(await caller.hear(1600)) == 1600
            await caller.send(caller.carrier.send_stop())
        report = await port.stopped()
        assert (report["inbound_codec"], report["played_codec"]) == ("PCMU/8000", "L16/8000")


@pytest.mark.parametrize(
    "media_format",
    [
        MediaFormat("SILK", 8000),
        MediaFormat("PCMU", 16000),
        MediaFormat("L16", 11025),
        MediaFormat("L16", -1),
        MediaFormat("PCMU", 8000, channels=2),
        MediaFormat("PCMU", 8000, channels=0),
        MediaFormat("x" * 10_000, 8000),
    ],
    ids=range(7),
)
async def test_a_codec_that_is_not_known_closes_the_stream_with_1003(log: Log, media_format: MediaFormat) -> None:
    async with media_port(log) as port, port.socket(token=port.token(), media_format=media_format) as caller:
        await caller.begin()
        assert await caller.closed() == (1003, "codec not supported")
        assert port.server.describe()["sessions_ended"] == {"unsupported_codec": 1}
        record = port.directory.get("v3:a")
        assert record is not None
        assert list(record.life.reached()) == [CallState.CONNECTED]


async def test_a_stream_that_does_not_start_in_time_is_closed(log: Log) -> None:
    async with media_port(log, start_timeout=0.05) as port, port.socket(token=port.token()) as caller:
        await caller.send(caller.carrier.send_connected())
        assert await caller.closed() == (1008, "no start in time")


async def test_ten_bad_messages_close_a_stream_and_nine_do_not(log: Log) -> None:
    async with media_port(log) as port, port.call() as caller:
        await caller.send(*[b"nonsense"] * 9)
        assert await caller.echoes(SOUND)
        await caller.send(b"nonsense")
        assert await caller.closed() == (1008, "too many bad messages")
        assert port.server.describe()["messages_bad"] == 10
        assert (await port.stopped())["end_reason"] == "protocol_error"


async def test_a_binary_message_ends_the_call_for_a_protocol_error(log: Log) -> None:
    async with media_port(log) as port, port.call() as caller:
        await caller.socket.send(b"\x00\x01")
        code, _ = await caller.closed()
        assert code == 1003
        assert (await port.stopped())["end_reason"] == "protocol_error"


async def test_a_socket_that_is_lost_ends_its_call_and_closes_the_sinks(log: Log) -> None:
    sink = ListSink()
    async with media_port(log, sinks={"list": sink.factory}) as port, port.call() as caller:
        assert await caller.echoes(SOUND)
        caller.socket.transport.abort()
        assert (await port.stopped())["end_reason"] == "link_lost"
        assert sink.closed == 1
    assert port.server.describe()["sockets_dropped"] == {}


async def test_a_stream_that_lasts_too_long_is_closed_with_4001(log: Log) -> None:
    async with media_port(log, max_duration=0.1) as port, port.call() as caller:
        assert await caller.closed() == (4001, "longest call reached")
        assert (await port.stopped())["end_reason"] == "max_duration"


# --- what is not ours fails by itself -------------------------------------------------------------------------------


class BrokenSink:
    """Raises where it is told to: on `factory`, `open`, `write` or `close`."""

    tracks = INBOUND

    def __init__(self, where: str) -> None:
        self.where = where

    def write(self, frame: AudioFrame) -> None:
        del frame
        self._maybe("write")

    def factory(self, info: StreamInfo) -> Self:
        del info
        self._maybe("factory")
        return self

    async def __aenter__(self) -> Self:
        self._maybe("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._maybe("close")

    def _maybe(self, here: str) -> None:
        if self.where == here:
            raise ZeroDivisionError(here)


@pytest.mark.parametrize("where", ["factory", "open", "write", "close"])
async def test_a_sink_that_raises_harms_nobody_else(log: Log, where: str) -> None:
    sink = ListSink()
    async with media_port(log, sinks={"broken": BrokenSink(where).factory, "list": sink.factory}) as port:
        async with port.call() as caller:
            for payload in packets(3):
                assert await caller.echoes(payload)
            await caller.send(caller.carrier.send_stop())
            assert await caller.closed() == (1000, "stream stopped")
        report = await port.stopped()
    assert report["end_reason"] == "stop"
    assert report["sinks"]["broken"]["state"] == "failed"
    assert report["sinks"]["broken"]["error"] == f"ZeroDivisionError: {where}"
    assert report["sinks"]["list"]["state"] == "closed"
    assert (len(sink.frames), sink.closed) == (3, 1)


async def test_an_agent_that_raises_leaves_the_call_to_its_sinks(log: Log) -> None:
    async def fail(call: Call) -> None:
        async for _ in call:
            raise ZeroDivisionError("tired")

    sink = ListSink()
    async with media_port(log, agent=acting(fail), sinks={"list": sink.factory}) as port:
        async with port.call() as caller:
            await caller.say(*packets(5))
            await caller.send(caller.carrier.send_stop())
            assert await caller.closed() == (1000, "stream stopped")
        report = await port.stopped()
    assert report["agent_error"] == "ZeroDivisionError: tired"
    assert len(sink.frames) == 5


async def test_an_agent_that_does_not_end_with_its_call_is_cancelled(log: Log) -> None:
    cancelled: list[bool] = []

    async def linger(call: Call) -> None:
        del call
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with media_port(log, agent=acting(linger)) as port, port.call() as caller:
        await caller.send(caller.carrier.send_stop())
        await port.stopped()
    assert cancelled == [True]


async def test_the_agents_own_sound_reaches_the_caller_and_the_sinks(log: Log) -> None:
    said: Samples = noise(800)

    async def greet(call: Call) -> None:
        call.send_audio(said)
        await call.wait_ended()

    sink = ListSink("played")
    async with media_port(log, agent=acting(greet), sinks={"list": sink.factory}) as port, port.call() as caller:
        assert await caller.hear(800) == encode_ulaw(said)
        await asyncio.sleep(0.3)  # until it was heard: 160 ms of lead, 100 ms of sound
        await caller.say(SOUND)
        await until(lambda: sink.frames)
        assert encode_ulaw(sink.sound()) == encode_ulaw(said)
