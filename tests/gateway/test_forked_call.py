"""A forked call without a socket, on a fake clock; the test is the network."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from audio_codecs import decode_ulaw
from gateway.call import EndReason
from gateway.errors import SinkError
from gateway.forked_call import ForkedCall, ForkOptions
from gateway.items import Dtmf
from gateway.media.frame import AudioFrame
from gateway.media.pacer import Pacer
from gateway.protocol.messages import Track
from gateway.protocol.rtp import PAYLOAD_TYPES, RtpFormat, build_rtp
from tests.fakes import FakeClock, FakeLine, ListSink, settle
from tests.rtp import PACKET, RtpSender, Timed, voices

HERE = ("192.0.2.1", 4000)
STREP = bytes.fromhex("18 0000 00000000 00112233445566778899aabbccddeeff")


class Fork:
    """A forked call, and what it told whoever opened it."""

    def __init__(self, *sinks: ListSink, formats: dict[int, RtpFormat] | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.started: list[ForkedCall] = []
        self.ended: list[ForkedCall] = []
        self.call = ForkedCall(
            "v3:call",
            formats=PAYLOAD_TYPES | (formats or {}),
            options=ForkOptions(sinks={f"sink {n}": sink.factory for n, sink in enumerate(sinks)}, **options),
            on_start=self.started.append,
            on_end=self.ended.append,
            pacer=Pacer(self.clock.call_later, self.clock),
            clock=self.clock,
            log=structlog.get_logger(),
        )

    def send(self, packets: Iterable[Timed], track: Track = "inbound", *, before: bytes = b"") -> None:
        """Send packets in their time, which begins with the clock's."""
        start = self.clock.now
        for at, packet in packets:
            self.clock.run_until(start + at)
            self.call.datagram_received(track, before + build_rtp(packet), HERE, now=self.clock.now)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the call; it ends at the latest with the block."""
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.call.run())
            await settle()
            try:
                yield
            finally:
                self.call.end(EndReason.STOP)

    def received(self) -> dict[str, Any]:
        described: dict[str, Any] = self.call.report()["received"]
        return described


async def test_sinks_hear_both_directions_as_they_hear_a_streamed_call() -> None:
    sink = ListSink("inbound", "outbound")
    fork = Fork(sink)
    async with fork.running():
        fork.send(RtpSender(1).voice(voices(20)))
        fork.send(RtpSender(2).voice(voices(20, seed=2)), "outbound")
        await settle()
    assert sink.closed == 1
    heard = {track: [frame for frame in sink.frames if frame.track == track] for track in ("inbound", "outbound")}
    assert [frame.payload for frame in heard["inbound"]] == voices(20)
    assert [frame.payload for frame in heard["outbound"]] == voices(20, seed=2)
    assert heard["inbound"][0].timestamp == 0
    assert heard["outbound"][0].timestamp == round(0.38 * 8000), "where the call was when its first packet came"
    for frames in heard.values():
        assert np.array_equal(np.diff([frame.timestamp for frame in frames]), [PACKET] * 19)


async def test_a_sink_is_told_what_it_is_opened_for_once_the_first_packet_shows_it() -> None:
    sink = ListSink()
    fork = Fork(sink, formats={96: RtpFormat("L16", 16_000)})
    async with fork.running():
        fork.send(RtpSender().press("1"))
        assert (sink.opened, fork.started, fork.call.info) == ([], [], None)
        fork.send(RtpSender(payload_type=96, clock_rate=16_000).voice([bytes(640)] * 3))
        await settle()
        (info,) = sink.opened
        assert fork.started == [fork.call]
        assert (info.call_control_id, info.stream_id) == ("v3:call", fork.call.stream_id)
        assert (info.inbound_encoding, info.inbound_sample_rate) == ("L16", 16_000)
        assert (info.played_encoding, info.played_sample_rate) == ("", 16_000)
        assert info.report()["stream_id"] == fork.call.stream_id


async def test_the_second_direction_comes_at_the_rate_of_the_first() -> None:
    sink = ListSink("inbound", "outbound")
    fork = Fork(sink, formats={96: RtpFormat("L16", 16_000)})
    async with fork.running():
        fork.send(RtpSender(1, payload_type=96, clock_rate=16_000).voice([bytes(640)] * 3))
        fork.send(RtpSender(2).voice(voices(3)), "outbound")
        await settle()
    assert {(frame.track, frame.sample_rate) for frame in sink.frames} == {("inbound", 16_000), ("outbound", 16_000)}


async def test_a_gap_is_given_up_in_time_although_nothing_more_comes() -> None:
    sink = ListSink()
    fork = Fork(sink)
    async with fork.running():
        sent = RtpSender().voice(voices(6))
        fork.send(sent[:3] + sent[4:])
        await settle()
        assert len(sink.frames) == 3
        fork.clock.run_until(fork.clock.now + 0.1)
        assert [frame.concealed for frame in sink.frames] == [False, False, False, True, False, False]


async def test_what_waits_is_handed_out_at_the_end() -> None:
    sink = ListSink()
    fork = Fork(sink)
    async with fork.running():
        sent = RtpSender().voice(voices(6))
        fork.send(sent[:3] + sent[4:])
    assert len(sink.frames) == 6


async def test_keys_and_frames_are_told_to_whoever_reads() -> None:
    fork = Fork()
    items: list[AudioFrame | Dtmf] = []

    async def read() -> None:
        async for item in fork.call:
            items.append(item)  # noqa: PERF401 - until it ends

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await settle()
        sender, other = RtpSender(1), RtpSender(2)
        fork.send(sender.voice(voices(2)) + sender.press("5") + sender.voice(voices(1)))
        fork.send(other.voice(voices(3)), "outbound")
        fork.call.end(EndReason.STOP)
    kinds = ["frame" if isinstance(item, AudioFrame) and not item.concealed else type(item).__name__ for item in items]
    assert kinds == ["frame", "frame", "Dtmf", "AudioFrame", "frame"]
    (key,) = [item for item in items if isinstance(item, Dtmf)]
    assert key.digit == "5"
    assert key.occurred_at is not None
    assert fork.call.report()["digits_received"] == 1
    assert [item async for item in fork.call] == []


@pytest.mark.parametrize(("first", "track"), [(b"\xc0", "inbound"), (b"\xc1", "outbound")])
async def test_a_strep_header_knows_the_direction_better_than_the_port(first: bytes, track: Track) -> None:
    sink = ListSink("inbound", "outbound")
    fork = Fork(sink)
    async with fork.running():
        fork.send(RtpSender().voice(voices(3)), before=first + STREP)
        await settle()
    assert {frame.track for frame in sink.frames} == {track}
    assert np.array_equal(sink.sound(), decode_ulaw(b"".join(voices(3))))


async def test_whatever_else_comes_is_counted() -> None:
    fork = Fork()
    for datagram in (b"", b"hello", bytes(20), bytes.fromhex("80c8000600000000") + bytes(20)):
        fork.call.datagram_received("inbound", datagram, HERE, now=fork.clock.now)
    assert fork.received()["datagrams_refused"] == {"short": 2, "version": 1, "rtcp": 1}
    assert fork.call.end_reason is None


FIRST_OCTETS = st.sampled_from([b"\x80\x00", b"\x80\x65", b"\x90\x08", b"\xa0\x09", b"\x80\x60", b"\xc0\x18", b""])


@settings(deadline=None)
@given(
    datagrams=st.lists(st.tuples(FIRST_OCTETS, st.binary(max_size=60), st.sampled_from([b"", bytes(11), b"\1" * 11])))
)
async def test_no_datagrams_do_harm(datagrams: list[tuple[bytes, bytes, bytes]]) -> None:
    """Octets with a beginning and numbers that pass for a packet's, or not."""
    sink = ListSink("inbound", "outbound")
    fork = Fork(sink, formats={96: RtpFormat("L16", 16_000)})
    for first, rest, numbers in datagrams:
        fork.clock.run_until(fork.clock.now + 0.02)
        fork.call.datagram_received("inbound", first + numbers + rest, HERE, now=fork.clock.now)
    received = fork.received()
    rtp = [track["rtp"] for track in received["tracks"].values()]
    counted = sum(received["datagrams_refused"].values())
    for one in rtp:
        counted += one["packets_foreign"] + one["packets_expected"] - one["packets_missing"]
    assert len(datagrams) - 2 * 8 * 11 <= counted <= len(datagrams), "but for those that wait for a second one"
    assert fork.call.end_reason is None
    json.dumps(fork.call.report())


# --- its end -------------------------------------------------------------------------------------------------------


async def test_a_fork_that_never_begins_ends() -> None:
    fork = Fork(ListSink(), start_timeout=60.0)
    fork.call.look(now=fork.clock.now + 59.9)
    assert fork.call.end_reason is None
    fork.call.look(now=fork.clock.now + 60.0)
    assert fork.call.end_reason is EndReason.NO_START
    assert fork.ended == [fork.call]


async def test_packets_of_an_unknown_type_are_no_beginning() -> None:
    fork = Fork(start_timeout=60.0)
    fork.send(RtpSender(payload_type=120).voice(voices(3)))
    with capture_logs() as lines:
        fork.call.look(now=fork.clock.now + 10.0)
        fork.call.look(now=fork.clock.now + 20.0)
    assert [line["problems"] for line in lines] == [["payload type 120: nobody said what it is"]], "told once"
    fork.call.look(now=fork.clock.now + 60.0)
    assert fork.call.end_reason is EndReason.NO_START
    assert fork.received()["tracks"]["inbound"]["rtp"]["packets_of_unknown_type"] == {"120": 3}


async def test_a_fork_of_which_nothing_comes_any_more_ends() -> None:
    fork = Fork(silence_timeout=30.0)
    fork.send(RtpSender().voice(voices(3)))
    last = fork.clock.now
    foreign = build_rtp(RtpSender(9).voice(voices(1))[0][1])
    fork.call.datagram_received("inbound", foreign, ("198.51.100.7", 1), now=last + 20)
    fork.call.look(now=last + 29.9)
    assert fork.call.end_reason is None
    fork.call.look(now=last + 30.0)
    assert fork.call.end_reason is EndReason.LINK_LOST


async def test_one_direction_is_enough_to_go_on() -> None:
    fork = Fork(silence_timeout=30.0)
    sender = RtpSender()
    fork.send(sender.voice(voices(3)))
    fork.clock.run_until(fork.clock.now + 25)
    fork.send(RtpSender(2).press("1"), "outbound")
    fork.call.look(now=fork.clock.now + 10)
    assert fork.call.end_reason is None


async def test_silence_passes_as_time_does() -> None:
    sink = ListSink()
    fork = Fork(sink)
    async with fork.running():
        fork.send(RtpSender().voice(voices(3)))
        await settle()
        fork.call.look(now=fork.clock.now + 3)
    assert [gap["cause"] for gap in fork.received()["ledger"]["gaps"]] == ["silence"]
    assert len(sink.sound()) == 3 * PACKET + 16_000


async def test_the_longest_fork_ends() -> None:
    fork = Fork(max_duration=100.0, silence_timeout=1000.0)
    begin = fork.clock.now
    fork.send(RtpSender().voice(voices(3)))
    fork.call.look(now=begin + 99.9)
    assert fork.call.end_reason is None
    fork.call.look(now=begin + 100.0)
    assert fork.call.end_reason is EndReason.MAX_DURATION


async def test_an_ended_fork_stays_ended_and_hears_nothing() -> None:
    fork = Fork()
    fork.send(RtpSender().voice(voices(3)))
    fork.call.end(EndReason.STOP)
    report = fork.call.report()
    fork.call.end(EndReason.SHUTDOWN)
    fork.send(RtpSender().voice(voices(3)))
    fork.clock.run_until(fork.clock.now + 10)
    assert fork.call.report() == report
    assert fork.ended == [fork.call]
    assert await fork.call.wait_ended() is EndReason.STOP


async def test_a_fault_of_ours_ends_the_fork_and_nothing_else() -> None:
    fork = Fork()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    fork.call._receivers["inbound"].push = fail  # type: ignore[method-assign, assignment]
    with capture_logs() as lines:
        fork.send(RtpSender().voice(voices(1)))
    assert fork.call.end_reason is EndReason.INTERNAL_ERROR
    assert [line["event"] for line in lines] == ["fork failed"]


# --- the report ----------------------------------------------------------------------------------------------------


async def test_the_report_has_the_shape_of_a_streams_report() -> None:
    fork, line = Fork(ListSink()), FakeLine(sinks={"sink 0": ListSink().factory})
    async with fork.running():
        fork.send(RtpSender(1).voice(voices(20)))
        fork.send(RtpSender(2).voice(voices(20)), "outbound")
    line.say(*voices(20))
    forked, streamed = fork.call.report(), line.call.report()
    assert set(streamed) <= set(forked)
    assert set(streamed["received"]) <= set(forked["received"])
    assert set(streamed["received"]["tracks"]["inbound"]) <= set(forked["received"]["tracks"]["inbound"])
    assert json.loads(json.dumps(forked)) == forked
    assert forked["inbound_codec"] == "PCMU/8000"
    assert forked["received"]["packets_received"] == 40
    assert forked["received"]["tracks"]["outbound"]["mos"] == 4.41


async def test_the_report_can_be_asked_for_before_anything_came() -> None:
    fork = Fork()
    report = fork.call.report()
    assert json.loads(json.dumps(report)) == report
    assert (report["inbound_codec"], report["received"]["packets_received"]) == (None, 0)


async def test_what_its_sinks_tell_and_what_happens_to_them_is_published() -> None:
    class Full(ListSink):
        def write(self, frame: AudioFrame) -> None:
            raise SinkError("full")

    events: list[tuple[str, str, Any]] = []
    ear = ListSink()
    fork = Fork(ear, Full(), publish=lambda *event: events.append(event))
    async with fork.running():
        fork.send(RtpSender().voice(voices(3)))
        await settle()
        ear.opened[0].publish("transcription.final", {"text": "yes"})
    assert sorted(events) == [
        ("v3:call", "sink.failed", {"sink": "sink 1", "error": "SinkError: full", "restart_in": None}),
        ("v3:call", "transcription.final", {"text": "yes"}),
    ]
