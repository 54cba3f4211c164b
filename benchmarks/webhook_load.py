"""Puts signed webhooks on a server and prints what became of them as one line of JSON.

    python -m benchmarks.webhook_load PORT --pid PID [--webhooks N] [--connections C] [--rate R]

Each is one of the five of a call, with an id of its own, and was signed before the first is sent. Without a rate every
connection sends the next as soon as its last was answered; with one, the connections send at their times, and the
answer time counts from the time at which a webhook was due.
"""

import argparse
import asyncio
import base64
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import uvloop
from nacl.signing import SigningKey

from benchmarks.load import cpu_seconds

SIGNING_KEY = SigningKey(b"benchmark webhooks benchmark web")
PUBLIC_KEY = base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode()

_LIFE = ("call.initiated", "call.answered", "streaming.started", "streaming.stopped", "call.hangup")


@dataclass(frozen=True, slots=True)
class Report:
    """What a round has shown; times in milliseconds, CPU of the server's process in seconds."""

    answered: int
    refused: int
    seconds: float
    server_cpu: float
    p50_ms: float
    p99_ms: float
    max_ms: float


def webhook(event_type: str, call: str) -> bytes:
    """A webhook as Telnyx writes it, of about 800 octets."""
    payload = {
        "call_control_id": call,
        "connection_id": "1684641123236054244",
        "call_leg_id": str(uuid.uuid1()),
        "call_session_id": str(uuid.uuid1()),
        "client_state": None,
        "from": "+15550100001",
        "to": "+15550100002",
        "direction": "incoming",
        "start_time": "2026-11-20T09:59:55.000000Z",
        "state": "answered",
    }
    data = {
        "record_type": "event",
        "event_type": event_type,
        "id": str(uuid.uuid4()),
        "occurred_at": "2026-11-20T10:00:00.521992Z",
        "payload": payload,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.test/webhooks"}}).encode()


def requests(count: int) -> list[bytes]:
    """So many signed requests; every five of them are a call."""
    made = []
    call = ""
    now = str(int(time.time()))
    for number in range(count):
        if number % len(_LIFE) == 0:
            call = f"v3:{uuid.uuid4().hex}{uuid.uuid4().hex[:22]}"
        body = webhook(_LIFE[number % len(_LIFE)], call)
        signature = SIGNING_KEY.sign(now.encode() + b"|" + body).signature
        headers = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "User-Agent": "telnyx-webhooks",
            "Content-Length": str(len(body)),
            "telnyx-timestamp": now,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        made.append(f"POST /webhooks/telnyx HTTP/1.1\r\n{head}\r\n".encode() + body)
    return made


async def deliver(port: int, work: Iterator[bytes], times: list[float], refused: list[bytes], every: float) -> None:
    """Send from one connection; `every` is the seconds between two webhooks, 0 for none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    clock = time.perf_counter
    due = clock() + every * np.random.default_rng().random()
    for request in work:
        if every:
            await asyncio.sleep(due - clock())
        begin = due if every else clock()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        times.append(clock() - begin)
        due += every
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0].strip()
        if length and length != b"0":
            await reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 200"):
            refused.append(head)
    writer.close()


async def put_load(port: int, pid: int, *, webhooks: int, connections: int, rate: float) -> Report:
    """Deliver them all."""
    work = iter(requests(webhooks))
    times: list[float] = []
    refused: list[bytes] = []
    cpu, begin = cpu_seconds(pid), time.perf_counter()
    every = connections / rate if rate else 0.0
    await asyncio.gather(*(deliver(port, work, times, refused, every) for _ in range(connections)))
    seconds = time.perf_counter() - begin
    await asyncio.sleep(0.5)  # what the server does after its answers is its cost as well
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    cpu = cpu_seconds(pid) - cpu
    return Report(len(times), len(refused), seconds, cpu, float(p50), float(p99), max(times) * 1000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one round and print its report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhook_load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--webhooks", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0, help="webhooks per second; as many as go if 0")
    options = parser.parse_args(argv)
    load = put_load(
        options.port,
        options.pid,
        webhooks=options.webhooks,
        connections=options.connections,
        rate=options.rate,
    )
    print(json.dumps(asdict(uvloop.run(load))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
