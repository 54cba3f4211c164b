"""The load: N calls that each send 20 ms of sound every 20 ms, and time what comes back.

It has a core and a process of its own, and speaks WebSocket by hand: frames are made once and the answers are only
counted, so that it keeps its deadlines where the server is at its limit. It says how late it was itself; figures of a
round in which it was late tell about the load, not the server.

Where nothing comes back (`--one-way`), it is pings that are timed: each call sends one every half second, behind the
sound that was sent before it, and the server answers it when it has taken that sound.
"""

import argparse
import asyncio
import base64
import json
import os
import resource
import struct
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop

FRAME_SECONDS = 0.02
_PING = struct.Struct("!d")  # the time it is sent
_PING_HEAD = bytes((0x89, 0x80 | _PING.size)) + bytes(4)
_PING_EVERY = 25  # frames
_SPEECH = Path(__file__).parent.parent / "examples" / "speech" / "booking.wav"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one round of load saw. Seconds, unless the name says otherwise.

    Attributes:
        sent: Messages sent while it was measured.
        received: Messages that came back for those; one-way, as many as were sent unless a pong is missing.
        p50_ms: Round trip, median; and its other percentiles.
        p99_ms: See `p50_ms`.
        max_ms: See `p50_ms`.
        late_p99_ms: How late this generator itself sent.
        cpu: Of this generator, as a share of one core.
        closed: Calls that the server closed.
        server_cpu: Seconds of CPU the server took for that, all its threads and processes; 0 where its process id was
            not given.
        server_rss_kib: Its resident memory with all calls up.
        sent_in_all: Messages with sound, also those before it was measured.
    """

    sent: int
    received: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    cpu: float
    closed: int
    server_cpu: float
    server_rss_kib: int
    sent_in_all: int


def family(pid: int) -> list[int]:
    """A process and those that it has started, such as its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """CPU that a process and those that it has started have taken so far, user and system, all threads.

    The kernel counts it in ticks of 10 ms.
    """
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid: int) -> int:
    """Resident memory of a process and those that it has started; what they share counts in each."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class _Call(asyncio.Protocol):
    """One call: the upgrade, `connected`, `start`, then sound; counts the messages that come back."""

    def __init__(self, number: int, host: str, path: str) -> None:
        self.number = number
        self.open = asyncio.get_running_loop().create_future()
        self.sent_at: list[float] = []
        self.round_trips: list[float] = []
        self.received = 0
        self.pings = 0
        self.pongs = 0
        self.measured_from = 0  # the first message that counts
        self.closed = False
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ).encode()
        self._rest = b""
        self._skip = 2  # a bare server echoes `connected` and `start` as well
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.open.done():
            self.open.set_exception(exc or ConnectionError("closed during the upgrade"))

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._rest:
            data = self._rest + data
        if not self.open.done():
            head, blank, data = data.partition(b"\r\n\r\n")
            if not blank:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.open.set_exception(ConnectionError(head[:80].decode("latin-1")))
                return
            self.open.set_result(None)
        at, end = 0, len(data)
        while end - at >= 4:
            length = data[at + 1] & 127
            size = 2 + length if length < 126 else 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            if length == 127 or end - at < size:
                break
            if data[at] == 0x81 and data.find(b'"media"', at, at + 40) > 0:
                if self.received >= self.measured_from:
                    self.round_trips.append(now - self.sent_at[self.received])
                self.received += 1
            elif data[at] == 0x8A:
                self.round_trips.append(now - _PING.unpack(data[at + 2 : at + size])[0])
                self.pongs += 1
            at += size
        self._rest = data[at:]

    def ping(self, now: float) -> None:
        self.transport.write(_PING_HEAD + _PING.pack(now))
        self.pings += 1

    def start(self) -> None:
        self.transport.write(_frame(b'{"event":"connected","version":"1.0.0"}'))
        start = {
            "event": "start",
            "sequence_number": "1",
            "stream_id": f"STREAM-{self.number:05d}",
            "start": {
                "call_control_id": f"v3:load-{self.number:05d}-{os.getpid()}",
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            },
        }
        self.transport.write(_frame(json.dumps(start).encode()))


def _frame(text: bytes) -> bytes:
    """A client's text frame; masked with zeros, which every server unmasks like any other key."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + text


def _payloads() -> list[bytes]:
    """The sentence of the examples in 20 ms pieces of PCMU, as base64."""
    from audio_codecs import encode_ulaw

    samples = np.frombuffer(_SPEECH.read_bytes()[44:], np.int16)
    octets = encode_ulaw(samples[: len(samples) // 160 * 160])
    return [base64.b64encode(octets[at : at + 160]) for at in range(0, len(octets), 160)]


async def _run(
    url: str, calls: int, settle: float, seconds: float, pid: int, *, pause: float, one_way: bool
) -> LoadReport:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    all_calls: list[_Call] = []
    for number in range(calls):
        _, call = await loop.create_connection(
            partial(_Call, number, parts.netloc, parts.path),
            parts.hostname or "127.0.0.1",
            parts.port or 80,
        )
        await call.open
        call.start()
        all_calls.append(call)
    payloads = _payloads()
    await asyncio.sleep(pause)  # opening calls is work, and not what is measured here
    begin = time.perf_counter() + 0.05
    measured_from = begin + settle
    until = measured_from + seconds
    lateness: list[float] = []
    cpu_before, server_before, first_sent = 0.0, 0.0, 0
    sent = 0
    measuring = False
    while (due := begin + sent * FRAME_SECONDS / calls) < until:
        now = time.perf_counter()
        if due > now:
            await asyncio.sleep(max(0.001, due - now))
            continue
        if not measuring and now >= measured_from:
            measuring, first_sent = True, sent
            usage = resource.getrusage(resource.RUSAGE_SELF)
            cpu_before = usage.ru_utime + usage.ru_stime
            server_before = cpu_seconds(pid) if pid else 0.0
            for call in all_calls:
                call.measured_from = len(call.sent_at)
                call.round_trips.clear()
            lateness.clear()
        call, k = all_calls[sent % calls], sent // calls
        text = (
            b'{"event":"media","sequence_number":"%d","stream_id":"STREAM-%05d","media":{"track":"inbound",'
            b'"chunk":"%d","timestamp":"%d","payload":"%b"}}'
            % (k + 2, call.number, k + 1, 20 * k, payloads[(k + 7 * call.number) % len(payloads)])
        )
        call.sent_at.append(now)
        call.transport.write(_frame(text))
        if one_way and (k + call.number) % _PING_EVERY == 0:
            call.ping(now)
        lateness.append(now - due)
        sent += 1
        if sent % 50 == 0:
            await asyncio.sleep(0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime - cpu_before
    server_cpu = cpu_seconds(pid) - server_before if pid else 0.0
    await asyncio.sleep(0.5)
    round_trips = np.array([value for call in all_calls for value in call.round_trips]) * 1000
    report = LoadReport(
        sent=sent - first_sent,
        received=sent - first_sent - sum(call.pings - call.pongs for call in all_calls)
        if one_way
        else len(round_trips),
        p50_ms=float(np.percentile(round_trips, 50)) if len(round_trips) else float("nan"),
        p99_ms=float(np.percentile(round_trips, 99)) if len(round_trips) else float("nan"),
        max_ms=float(round_trips.max()) if len(round_trips) else float("nan"),
        late_p99_ms=float(np.percentile(lateness, 99)) * 1000,
        cpu=cpu / seconds,
        closed=sum(call.closed for call in all_calls),
        server_cpu=server_cpu,
        server_rss_kib=rss_kib(pid) if pid else 0,
        sent_in_all=sent,
    )
    for call in all_calls:
        call.transport.write(_frame(b'{"event":"stop","sequence_number":"%d","stream_id":"x"}' % (sent + 9)))
        call.transport.close()
    return report


def main() -> int:
    """Run one round and print its report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("url", help="media URL of the server, ws://host:port/path")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before measuring")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds to measure")
    parser.add_argument("--pid", type=int, default=0, help="process id of the server, to read its CPU and memory")
    parser.add_argument(
        "--pause", type=float, help="seconds from the calls' start to their sound: 1, or `--settle` if less"
    )
    parser.add_argument("--one-way", action="store_true", help="nothing comes back but pongs")
    options = parser.parse_args()
    report = uvloop.run(
        _run(
            options.url,
            options.calls,
            options.settle,
            options.seconds,
            options.pid,
            pause=min(1.0, options.settle) if options.pause is None else options.pause,
            one_way=options.one_way,
        )
    )
    print(json.dumps({name: getattr(report, name) for name in LoadReport.__slots__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
