"""Autobahn's fuzzing client against our two transports: `python -m tests.peers.autobahn.run [--wstest PATH]`.

The testsuite is a program for Python 2.7 and nothing else, so it is no part of any environment here. Once, by hand:

    PYTHONUSERBASE=/tmp/autobahn python2.7 -m pip install --user autobahntestsuite
    .venv/bin/python -m tests.peers.autobahn.run --wstest /tmp/autobahn/bin/wstest

A session that says everything back stands behind the real connections. Media streams are text: a binary message is
refused with 1003, and the cases that send one and want it back fail by that. They are told apart from all others.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog
import uvloop

from gateway.server.transport import Admit, Limits, Link, SocketCounters
from gateway.server.transports import MediaTransport, find_transport

TRANSPORTS = ("websockets", "picows")
CASES = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)]
LEFT_OUT = "9.* (how fast large messages go), 12.* and 13.* (compression, which is not offered)"
TIMEOUT = 1800.0


class Echo:
    """Says back what it is told."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def link_open(self) -> None:
        pass

    def text_received(self, text: bytes, *, now: float) -> None:
        del now
        self._link.send(text)

    def link_lost(self, code: int, reason: str) -> None:
        pass


def _factory(transport: MediaTransport) -> Callable[[], asyncio.Protocol]:
    admit: Admit = lambda handshake, link: Echo(link)  # noqa: E731 - it has a type this way

    def connection() -> asyncio.Protocol:
        return transport.connection(
            admit=admit,
            limits=Limits(max_message_bytes=1 << 24),
            clock=time.monotonic,
            counters=SocketCounters(),
            log=structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)),
            on_open=lambda connection: None,
            on_close=lambda connection: None,
        )

    return connection


async def _run(wstest: str, folder: Path, cases: Sequence[str]) -> dict[str, Any]:
    servers = []
    async with AsyncExitStack() as stack:
        for name in TRANSPORTS:
            transport = find_transport(name)
            server = await transport.create_server(_factory(transport), host="127.0.0.1", port=0)
            stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
            servers.append({"agent": name, "url": f"ws://127.0.0.1:{port}", "options": {"version": 18}})
        spec = {
            "outdir": str(folder / "reports"),
            "servers": servers,
            "cases": list(cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        async with asyncio.timeout(TIMEOUT):
            command = [wstest, "--mode", "fuzzingclient", "--spec", str(folder / "spec.json")]
            process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.DEVNULL)
            await process.wait()
    index: dict[str, Any] = json.loads((folder / "reports" / "index.json").read_text())
    return index


def main() -> int:
    """Run the cases and print what came of them; exit code 1 where something failed but for being binary."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.autobahn.run", description=__doc__)
    parser.add_argument("--wstest", default="wstest", help="the testsuite's program")
    parser.add_argument("--cases", nargs="+", default=CASES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autobahn-") as name:
        folder = Path(name)
        index = uvloop.run(_run(options.wstest, folder, options.cases))
        failed = False
        for agent in TRANSPORTS:
            results = Counter[str]()
            for case, result in sorted(index[agent].items()):
                behaviour = result["behavior"]
                if behaviour == "FAILED":
                    report = json.loads((folder / "reports" / result["reportfile"]).read_text())
                    binary = report["remoteCloseCode"] == 1003
                    behaviour = "refused as binary" if binary else "FAILED"
                    failed |= not binary
                    if not binary:
                        print(f"{agent} {case}: {report['description']} {report['resultClose']}")
                elif behaviour == "NON-STRICT":
                    print(f"{agent} {case}: not strict")
                elif result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
                    print(f"{agent} {case}: closed otherwise, {result['behaviorClose']}")
                    failed = True
                results[behaviour] += 1
            print(f"{agent}: " + ", ".join(f"{count} {behaviour}" for behaviour, count in results.most_common()))
        print(f"left out: {LEFT_OUT}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
