"""Keeps so many calls up, and lets each say its frame when that is due.

Deadlines are spread over the 20 ms: call n has its own moment, by the golden ratio, so that any number of calls, and of
processes, is spread evenly without anybody moving when one comes or goes. A frame that is late leaves late, and counts
as late. One that is very late, as the whole process stood still, takes the call's deadlines with it: said at once, what
was missed would wait in the far side's playout for as long as the call lasts, and all that follows behind it.
"""

import asyncio
import heapq
import itertools
import ssl
import time
from collections.abc import Callable
from typing import Final

from gateway.bench.answers import Answers, EchoAnswers, EchoTable, PingAnswers
from gateway.bench.content import FRAME
from gateway.bench.load_call import LoadCall
from gateway.bench.plan import CallPlan
from gateway.bench.sound import PROBES, SoundAnswers
from gateway.bench.tally import Meter

__all__ = ["Generator"]

_GOLDEN: Final = 0.6180339887498949
_AT_ONCE: Final = 32  # frames that are sent before what has come is read
_SHORTEST_SLEEP: Final = 0.001  # uvloop's timers are whole milliseconds
_OPENING: Final = 16  # calls that are being opened at a time
_OPEN_TIMEOUT: Final = 10.0
_VERY_LATE: Final = 0.1


class Generator:
    """The calls of one process.

    Args:
        plan: Of every call.
        share: Which process this is, from 0.
        of: How many there are.
        clock: Monotonic seconds.

    Attributes:
        meter: What was counted.
        wanted: How many calls are to be up.
        settled: Whether every call is open, or will not be.
    """

    def __init__(
        self, plan: CallPlan, *, share: int = 0, of: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.meter = Meter()
        self.wanted = 0
        self._plan = plan
        self._share = share
        self._of = of
        self._clock = clock
        self._texts = plan.content.texts
        self._table = EchoTable(plan.content) if plan.measure == "echo" else None
        self._ssl = ssl.create_default_context() if plan.target.secure else None
        self._calls: dict[LoadCall, int] = {}  # and the place that each has among all
        self._free: list[int] = []
        self._places = 0
        self._opening = 0
        self._given_up = 0  # calls that the far side did not want; they are not tried again by themselves
        self._due: list[tuple[float, int, LoadCall]] = []  # the number decides between equals
        self._numbers = itertools.count()
        self._timer: asyncio.Handle | None = None
        self._changed = asyncio.Event()
        self._first = True
        self._stopping = False

    @property
    def up(self) -> int:
        """How many calls speak."""
        return sum(call.speaking for call in self._calls)

    @property
    def settled(self) -> bool:
        """Whether every call is open that is wanted, or will not be."""
        return not self._opening and self.up + self._given_up == self.wanted

    def want(self, calls: int) -> None:
        """Have so many calls up from now on; those that could not be are tried again."""
        self.wanted = calls
        self._given_up = 0
        speaking = [call for call in self._calls if call.speaking]
        for call in speaking[calls:]:
            call.retire()
        self._changed.set()

    async def run(self) -> None:
        """Open calls as they are wanted, until `stop`; then drop them all."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stopping:
                    missing = self.wanted - self.up - self._opening - self._given_up
                    for _ in range(min(missing, _OPENING - self._opening)):
                        self._opening += 1
                        tasks.create_task(self._open(), name="open a call")
                    self._changed.clear()
                    await self._changed.wait()
                self._drop_all()  # what is just being opened ends by that
        finally:
            self._drop_all()

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping = True
        self._changed.set()

    def _drop_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call in list(self._calls):
            call.fail("the load ends")

    async def _open(self) -> None:
        place = heapq.heappop(self._free) if self._free else self._places
        self._places = max(self._places, place + 1)
        plan, loop = self._plan, asyncio.get_running_loop()
        call = LoadCall(
            plan,
            self._texts,
            self._answers(place),
            self.meter,
            number=place * self._of + self._share,
            clock=self._clock,
            gone=self._gone,
        )
        self._calls[call] = place
        target = plan.target
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await loop.create_connection(lambda: call, target.host, target.port, ssl=self._ssl)
                await call.opened
        except (OSError, TimeoutError, ssl.SSLError, ValueError) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, TimeoutError):
                reason = f"no answer within {_OPEN_TIMEOUT:g} s"
            self.meter.tally.refused[reason] += 1
            self._given_up += 1
            self._drop(call)
        else:
            if self.up < self.wanted and call.reason is None:
                self._begin(call, place)
            else:
                call.close("not wanted any more")
        finally:
            self._opening -= 1
            self._changed.set()

    def _begin(self, call: LoadCall, place: int) -> None:
        number = place * self._of + self._share
        spread = number * _GOLDEN % 1
        # Calls that begin together do not end together.
        age = 0.0 if self._plan.call_seconds is None or not self._first else spread * self._plan.call_seconds
        call.begin(age=age)
        now = self._clock()
        due = (now // FRAME + 1 + spread) * FRAME
        heapq.heappush(self._due, (due, next(self._numbers), call))
        self._arm(now)

    def _answers(self, place: int) -> Answers:
        plan = self._plan
        if plan.measure == "echo":
            assert self._table is not None
            return EchoAnswers(self._table, self.meter)
        if plan.measure == "sound":
            return SoundAnswers(plan.content, self.meter, listens=place < PROBES)
        return PingAnswers(plan.content, self.meter)

    def _gone(self, call: LoadCall, reason: str) -> None:
        if call.upgraded and call in self._calls:
            if call.own_end:
                self.meter.tally.ended += 1
                self._first = False
            elif reason not in ("the load ends", "not wanted any more"):
                self.meter.tally.closed[reason] += 1
                self._given_up += 1
        self._drop(call)

    def _drop(self, call: LoadCall) -> None:
        place = self._calls.pop(call, None)
        if place is not None:
            heapq.heappush(self._free, place)
            call.fail("given up")
        self._changed.set()

    def _arm(self, now: float) -> None:
        """Come back at the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            delay = max(_SHORTEST_SLEEP, self._due[0][0] - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self._send_due)

    def _send_due(self) -> None:
        due, clock = self._due, self._clock
        for _ in range(_AT_ONCE):
            now = clock()
            if not due or due[0][0] > now:
                self._arm(now)
                return
            at, number, call = due[0]
            if call.speaking:
                call.send_frame(at, now)
                if now - at > _VERY_LATE:
                    at += (now - at) // FRAME * FRAME
                heapq.heapreplace(due, (at + FRAME, number, call))
            else:
                heapq.heappop(due)
                self._changed.set()
        self._timer = asyncio.get_running_loop().call_soon(self._send_due)
