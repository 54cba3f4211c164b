"""Faults of media: messages and times in, messages and times out."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import DatagramError, RemoteProtocolError
from gateway.protocol.messages import MediaFormat, StartBody, decode_carrier
from gateway.protocol.rtp import RtpPacket, build_rtp, parse_rtp
from gateway.protocol.stream import CarrierStream
from gateway.simulator.faults import MediaFaults
from gateway.simulator.media_faults import MediaFaultEngine, spoil_datagram, spoil_text

CALM = MediaFaults()


class Bench:
    """An engine, what it was given every 20 ms, and what came out: names and milliseconds."""

    def __init__(self, seed: int = 1, **faults: Any) -> None:
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.engine = MediaFaultEngine(
            MediaFaults(**faults),
            random.Random(seed),
            spoil=lambda message, _: b"bad " + message,
            note=lambda name, **fields: self.noted.append((name, fields)),
        )
        self.out: list[tuple[int, str]] = []

    def run(self, count: int) -> list[tuple[int, str]]:
        for number in range(count):
            self.take(self.engine.push(str(number).encode(), number * 0.02))
        self.take(self.engine.flush(count * 0.02))
        return self.out

    def take(self, timed: list[tuple[float, bytes]]) -> None:
        self.out += [(round(1000 * at), message.decode()) for at, message in timed]

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.out]

    def count(self, fault: str) -> int:
        return sum(name == fault for name, _ in self.noted)


def test_without_faults_everything_passes_at_once() -> None:
    assert Bench().run(3) == [(0, "0"), (20, "1"), (40, "2")]


def test_losses_take_as_many_in_a_row_as_was_asked() -> None:
    bench = Bench(lost=0.05, lost_run=4)
    bench.run(200)
    lost = sorted(set(range(200)) - {int(name) for name in bench.names})
    assert len(lost) == bench.count("lost") > 8
    assert [fields["frame"] for _, fields in bench.noted] == [number + 1 for number in lost]
    runs = [number for number in lost if number - 1 not in lost]
    assert all(set(range(first, min(first + 4, 200))) <= set(lost) for first in runs)


def test_doubled_and_malformed_come_in_their_place() -> None:
    assert Bench(doubled=1.0).run(2) == [(0, "0"), (0, "0"), (20, "1"), (20, "1")]
    assert Bench(malformed=1.0).run(2) == [(0, "bad 0"), (20, "bad 1")]


@pytest.mark.parametrize("by", [1, 3])
def test_a_frame_is_overtaken_by_so_many(by: int) -> None:
    bench = Bench(seed=3, reordered=0.05, reordered_by=by)
    bench.run(100)
    assert sorted(bench.names, key=int) == [str(number) for number in range(100)]
    held = [fields["frame"] - 1 for _, fields in bench.noted]
    assert held
    for number in (number for number in held if number + by < 100):
        before = bench.names[: bench.names.index(str(number))]
        overtaking = [name for name in before if int(name) > number]
        assert 1 <= len(overtaking) <= by


def test_jitter_delays_and_keeps_the_order() -> None:
    bench = Bench(jitter=0.1)
    out = bench.run(200)
    assert bench.names == [str(number) for number in range(200)]
    delays = [at - 20 * int(name) for at, name in out]
    assert min(delays) >= 0
    assert 40 < max(delays) <= 100
    assert bench.noted == [("jitter", {"up_to_ms": 100})]


def test_a_stall_holds_back_and_lets_go_at_once() -> None:
    bench = Bench(stall_every=1.0, stall=0.3)
    out = bench.run(100)
    assert [at for at, name in out if 700 <= 20 * int(name) < 1000] == [1000] * 15
    assert [at for at, name in out if 20 * int(name) < 700] == list(range(0, 700, 20))
    assert bench.count("stall") == 2


CHANCES = st.sampled_from([0.0, 0.1, 0.9])


@given(
    st.integers(0, 5),
    st.builds(
        MediaFaults,
        lost=CHANCES,
        lost_run=st.integers(1, 3),
        doubled=CHANCES,
        reordered=CHANCES,
        reordered_by=st.integers(1, 4),
        jitter=st.sampled_from([0.0, 0.2]),
        stall_every=st.sampled_from([0.0, 0.5]),
        malformed=CHANCES,
    ),
)
def test_whatever_goes_wrong_is_in_order_of_time_repeatable_and_accounted_for(seed: int, faults: MediaFaults) -> None:
    first, second = (Bench(seed, **faults.model_dump()) for _ in range(2))
    assert first.run(60) == second.run(60)
    times = [at for at, _ in first.out]
    assert times == sorted(times)
    assert len(first.out) == 60 - first.count("lost") + first.count("doubled")


def test_one_faults_chance_does_not_move_another_one() -> None:
    alone, together = Bench(lost=0.1), Bench(lost=0.1, doubled=0.3)
    alone.run(200)
    together.run(200)
    assert [n for n in alone.noted if n[0] == "lost"] == [n for n in together.noted if n[0] == "lost"]


def test_what_is_spoilt_is_no_message() -> None:
    stream = CarrierStream("STREAM", StartBody(call_control_id="v3:x", media_format=MediaFormat("PCMU", 8000)))
    refused = 0
    for seed in range(50):
        text = spoil_text(stream.send_media("inbound", bytes(160), timestamp=0), random.Random(seed))
        try:
            decode_carrier(text)
        except RemoteProtocolError:
            refused += 1
    assert refused > 30  # the others are refused by the stream that they come on
    packet = build_rtp(RtpPacket(0, 1, 2, 3, bytes(160)))
    for seed in range(20):
        with pytest.raises(DatagramError):
            parse_rtp(spoil_datagram(packet, random.Random(seed)))
