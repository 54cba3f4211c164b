"""What readers of events cost the calls: added latency of echo calls, with event streams beside them and without.

Each call's agent echoes, and publishes as many events as a transcriber would. In every second round two readers follow
each call by server-sent events; the rounds take turns on one gateway. The gateway has a core of its own; readers and
load share the other, so the load's own lateness is told as well.
"""

import argparse
import asyncio
import os
import platform
import socket
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp

from benchmarks.bench_call import gateway, put_load
from benchmarks.load import LoadReport
from gateway import Call
from gateway.agents.echo import Echo

_KEY = "the key of a benchmark"
_PAUSE = 0.25
_READERS_PER_CALL = 2


class Talkative(Echo):
    """Echoes, and publishes four events a second, of the size of a few words heard."""

    async def run(self, call: Call) -> None:
        """Publish as long as the call lasts."""
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell(call))
            await super().run(call)
            telling.cancel()

    async def _tell(self, call: Call) -> None:
        words = {"text": "I would like to book a table for two", "start": 1.25, "end": 3.5, "track": "inbound"}
        while True:
            call.publish("transcription.partial", words)
            await asyncio.sleep(_PAUSE)


async def read_events(url: str, calls: int) -> None:
    """Wait for the calls, follow each of them twice, and print how many events came."""
    headers = {"Authorization": f"Bearer {_KEY}"}
    count = 0

    async def follow(session: aiohttp.ClientSession, call_control_id: str) -> None:
        nonlocal count
        async with session.get(f"{url}/v1/calls/{call_control_id}/events") as stream:
            while piece := await stream.content.readany():
                count += piece.count(b"\nevent: ")

    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        ids: list[str] = []
        for _ in range(100):
            if len(ids) >= calls:
                break
            await asyncio.sleep(0.1)
            async with session.get(f"{url}/v1/calls?limit=1000") as answer:
                shown = (await answer.json())["calls"]
            ids = [call["call_control_id"] for call in shown if call["state"] == "streaming"]
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(follow(session, one)) for one in ids for _ in range(_READERS_PER_CALL)]
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the round is over
            for reader in readers:
                reader.cancel()
    print(count)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_events", description=__doc__)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5, help="with readers, and as many without")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each round")
    parser.add_argument("--smoke", action="store_true", help="one short round with a few calls")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.read:
        asyncio.run(read_events(options.read, options.calls))
        return 0
    settle = 3.0
    if options.smoke:
        options.calls, options.rounds, options.seconds, settle = 3, 1, 0.5, 2.5
    cores = sorted(os.sched_getaffinity(0))
    url = f"http://127.0.0.1:{free_port()}"
    settings = {
        "GATEWAY_AGENT": "benchmarks.bench_events:Talkative",
        "GATEWAY_HTTP_LISTEN": url.removeprefix("http://"),
        "GATEWAY_API_KEY": _KEY,
    }
    reports: dict[bool, list[LoadReport]] = {False: [], True: []}
    events: list[int] = []
    with gateway({cores[0]}, **settings) as server:
        for _ in range(options.rounds):
            for followed in (False, True):
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.bench_events",
                    "--read",
                    url,
                    "--calls",
                    str(options.calls),
                ]
                reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) if followed else None
                if reader is not None:
                    os.sched_setaffinity(reader.pid, {cores[-1]})
                try:
                    report = put_load(
                        server, calls=options.calls, settle=settle, seconds=options.seconds, cores={cores[-1]}
                    )
                finally:
                    if reader is not None:
                        events.append(int(reader.communicate(timeout=30)[0] or 0))
                reports[followed].append(report)
    print(
        f"{datetime.now(UTC).date()}, {platform.machine()}, {len(cores)} cores, Python {platform.python_version()};"
        f" {options.calls} calls, {1 / _PAUSE:.0f} events a second each; medians of {options.rounds} rounds"
    )
    print(
        f"{'readers':>8} {'events':>8} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'lost':>5} {'CPU':>6}"
        f" {'load late p99 ms':>17}"
    )
    for followed, rounds in reports.items():
        read = statistics.median(events) if followed else 0
        p50, p99, worst, late = (
            statistics.median(getattr(report, name) for report in rounds)
            for name in ("p50_ms", "p99_ms", "max_ms", "late_p99_ms")
        )
        lost = sum(report.sent - report.received for report in rounds)
        cpu = statistics.median(report.server_cpu for report in rounds) / options.seconds
        readers = _READERS_PER_CALL * options.calls if followed else 0
        print(f"{readers:>8} {read:>8.0f} {p50:>7.2f} {p99:>7.2f} {worst:>7.2f} {lost:>5} {cpu:>6.1%} {late:>17.2f}")
    return 0 if all(events) else 1


if __name__ == "__main__":
    sys.exit(main())
