"""The measurements behind `bench_capacity`: servers in turn under the same load, one core for them and one for it."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench_call import Server, bare, gateway, put_load, running
from benchmarks.load import rss_kib
from tests.peers.run import environment

__all__ = ["QUICK", "ROWS", "SMOKE", "SMOKE_ROWS", "Bench", "Plan"]

LATE_LIMIT_MS = 3.0  # of the load itself; beyond it a round tells about the load
_PEER = Path(__file__).parent / "peers" / "pipecat_echo"
_SINKS = "recorder,level"
_OpenServer = Callable[[set[int]], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Of each measurement; the tables tell medians.
        seconds: Measured in each, after `settle` seconds.
        settle: See `seconds`.
        calls: At which the cost of a frame is measured; that in the middle is where latency and memory are told.
        steps: Numbers of calls that the search for the capacity chooses from.
        peer_calls: At once, against Pipecat, which holds few.
        capacity_of: The servers whose capacity is searched for.
        soak_calls: That come and go, in so many batches.
        soak_batches: See `soak_calls`; as many and two more go before them, as records of the last 1000 calls are kept
            and events of the last 2000, and only what grows beyond those is wrong.
        with_peer: Whether Pipecat may be installed for it.
    """

    rounds: int = 5
    seconds: float = 3.0
    settle: float = 1.0
    calls: tuple[int, ...] = (100, 300, 500)
    steps: tuple[int, ...] = tuple(range(100, 1301, 50))
    peer_calls: int = 60
    capacity_of: tuple[str, ...] = ("fast", "websockets", "inbound only")
    soak_calls: int = 2000
    soak_batches: int = 10
    with_peer: bool = True


SMOKE = Plan(
    rounds=1,
    seconds=0.6,
    settle=0.1,
    calls=(4,),
    steps=(4,),
    with_peer=False,
    capacity_of=("inbound only",),
    soak_calls=4,
    soak_batches=1,
)
SMOKE_ROWS = ("cost", "capacity", "soak")  # the others are made of the same
QUICK = Plan(rounds=2, seconds=2.0, settle=0.5, steps=tuple(range(100, 1301, 100)), soak_calls=500)


def _program(name: str, *command: str) -> _OpenServer:
    return partial(running, name, [sys.executable, "-m", *command], {})


def _gateway(name: str, **settings: str) -> _OpenServer:
    def open_gateway(cores: set[int]) -> AbstractContextManager[Server]:
        return gateway(cores, **{"GATEWAY_SINKS": _SINKS, **settings})

    open_gateway.__name__ = name
    return open_gateway


def _peer(cores: set[int]) -> AbstractContextManager[Server]:
    python = environment(_PEER)
    return running("pipecat", [str(python), str(_PEER / "server.py")], {}, cores)


SERVERS: dict[str, _OpenServer] = {
    "bare picows": _program("bare picows", "benchmarks.bare_picows"),
    "bare websockets": bare,
    "fast": _gateway("fast", GATEWAY_TRANSPORT="picows"),
    "websockets": _gateway("websockets", GATEWAY_TRANSPORT="websockets"),
    "transport alone": _program("transport alone", "benchmarks.bare_transport", "picows"),
    "no sinks": _gateway("no sinks", GATEWAY_TRANSPORT="picows", GATEWAY_SINKS=""),
    "level": _gateway("level", GATEWAY_TRANSPORT="picows", GATEWAY_SINKS="level"),
    "recorder": _gateway("recorder", GATEWAY_TRANSPORT="picows", GATEWAY_SINKS="recorder"),
    "inbound only": _gateway("inbound only", GATEWAY_TRANSPORT="picows", GATEWAY_SINKS="recorder", GATEWAY_AGENT=""),
    "pipecat": _peer,
}
_ONE_WAY = "inbound only"
Result = dict[str, Any]


class Bench:
    """Runs the rows.

    Args:
        plan: How much.
        tell: Told what is being done, line by line.
    """

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.plan = plan
        self._server_cores, self._load_cores = {cores[0]}, {cores[-1]}
        self._smoke = plan.seconds < 1
        self._tell = tell

    def cost(self) -> Result:
        """CPU of a frame, latency and memory, at several numbers of calls; all servers in turn."""
        return {
            str(calls): self._in_turn(("bare picows", "fast", "bare websockets", "websockets"), calls)
            for calls in self.plan.calls
        }

    def features(self) -> Result:
        """The same at one number of calls, with more and more of the gateway switched on."""
        names = ("bare picows", "transport alone", "no sinks", "level", "recorder", "fast")
        return self._in_turn(names, self.plan.calls[len(self.plan.calls) // 2])

    def peer(self) -> Result:
        """The same against Pipecat's echo pipeline."""
        return self._in_turn(("fast", "pipecat"), self.plan.peer_calls) if self.plan.with_peer else {}

    def capacity(self) -> Result:
        """How many calls each holds: p99 under 20 ms, nothing lost; and what happens with too many."""
        names = self.plan.capacity_of
        found: Result = {name: {"held": [], "probes": []} for name in names}
        for _ in range(self.plan.rounds):
            for name in names:
                held = found[name]["held"]
                with SERVERS[name](self._server_cores) as server:
                    server = replace(server, name=name)
                    held.append(self._search(server, held[-1] if held else None, found[name]["probes"]))
        return found

    def soak(self) -> Result:
        """Memory while calls come and go."""
        batch = self.plan.soak_calls // self.plan.soak_batches
        warm_up = 2 + self.plan.soak_batches
        with SERVERS["fast"](self._server_cores) as server:
            rss = [rss_kib(server.pid)]
            for number in range(warm_up + self.plan.soak_batches):
                self._tell(f"soak, {number * batch} calls have come and gone")
                put_load(server, calls=batch, settle=0.2, seconds=0.5, cores=self._load_cores)
                time.sleep(0.1 if self._smoke else 1.0)
                rss.append(rss_kib(server.pid))
                _clear(server)
        growth = rss[-1] - rss[warm_up]
        return {"calls": self.plan.soak_calls, "before": warm_up * batch, "rss_kib": rss, "growth_kib": growth}

    # --- inside ---------------------------------------------------------------------------------------------------

    def _in_turn(self, names: Sequence[str], calls: int) -> Result:
        results: Result = {}
        with ExitStack() as stack:
            servers = []
            for name in names:
                server = stack.enter_context(SERVERS[name](self._server_cores))
                servers.append(replace(server, name=name))
            for server in servers:
                idle = rss_kib(server.pid)
                first = self._probe(server, calls, settle=0.2)
                results[server.name] = {"kib_per_call": (first["server_rss_kib"] - idle) / calls, "rounds": []}
            for _ in range(self.plan.rounds):
                for server in servers:
                    results[server.name]["rounds"].append(self._probe(server, calls))
        return results

    def _search(self, server: Server, last: int | None, probes: list[Result]) -> int:
        """The largest number of calls that holds; 0 if none of the steps does. Near the last found, else by halves."""
        steps = self.plan.steps

        def holds(place: int) -> bool:
            probe = self._probe(server, steps[place])
            probes.append(probe)
            good = bool(probe["p99_ms"] < 20 and not probe["lost"] and not probe["closed"])
            if not good:
                time.sleep(0 if self._smoke else 2)  # for what it still has to do
            return good

        if last is None:
            low, high = -1, len(steps)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if holds(middle) else (low, middle)
            return steps[low] if low >= 0 else 0
        place = steps.index(last) if last else 0
        if holds(place):
            while place + 1 < len(steps) and holds(place + 1):
                place += 1
            return steps[place]
        while place > 0:
            place -= 1
            if holds(place):
                return steps[place]
        return 0

    def _probe(self, server: Server, calls: int, *, settle: float | None = None) -> Result:
        """One round; again where the load itself was late, twice at most."""
        self._tell(f"{server.name}, {calls} calls")
        for _ in range(3):
            _clear(server)
            report = put_load(
                server,
                calls=calls,
                settle=self.plan.settle if settle is None else settle,
                seconds=self.plan.seconds,
                cores=self._load_cores,
                more=self._more(server, calls),
            )
            if report.late_p99_ms <= LATE_LIMIT_MS or self._smoke:
                break
        lost = report.sent - report.received
        if server.name == _ONE_WAY:
            lost += report.sent_in_all - _recorded(server, calls)
        us = report.server_cpu / report.sent * 1e6
        return {**asdict(report), "calls": calls, "lost": lost, "us_per_frame": us}

    def _more(self, server: Server, calls: int) -> list[str]:
        """Time for the calls to have begun: an echo of sound that waited for that stays late to the end of the call."""
        pause = 0.1 if self._smoke else 5.0 if server.name == "pipecat" else 1.0 + calls / 300
        return ["--pause", str(pause), *(["--one-way"] if server.name == _ONE_WAY else [])]


def _recorded(server: Server, calls: int) -> int:
    """Packets that the recordings of the calls that just ended say they received; waits for the last of them."""
    assert server.data is not None
    until = time.monotonic() + 20
    while True:
        sidecars = [json.loads(path.read_text()) for path in server.data.glob("recordings/*/recording.json")]
        final = [values for values in sidecars if values.get("state") == "final"]
        if len(final) == calls or time.monotonic() > until:
            return sum(values["report"]["received"]["packets_received"] for values in final)
        time.sleep(0.2)


def _clear(server: Server) -> None:
    """Have no disk filled by recordings that nobody wants, and none counted that are still being completed."""
    until = time.monotonic() + 20
    while server.data is not None:
        folders = list((server.data / "recordings").glob("*/recording.json"))
        for sidecar in folders:
            if json.loads(sidecar.read_text()).get("state") == "final":
                shutil.rmtree(sidecar.parent, ignore_errors=True)
        if not folders or time.monotonic() > until:
            return
        time.sleep(0.2)


ROWS: dict[str, Callable[[Bench], Result]] = {
    "cost": Bench.cost,
    "features": Bench.features,
    "peer": Bench.peer,
    "capacity": Bench.capacity,
    "soak": Bench.soak,
}
