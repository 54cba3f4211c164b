"""Forwards Telnyx's webhooks to the user's own program: signed again, in order within a call, until they are taken.

What waits is in the store as well as in memory, so that a restart loses nothing: a row is written before its webhook
counts as handled, and deleted when it was delivered. A crash in between delivers once more, as Telnyx itself may; the
event's id tells. Nothing here keeps a webhook of Telnyx's from its answer.

The body goes out as it came in. The signature is our own, made anew for each attempt, in the headers of Telnyx's: its
packages verify it with the public key that the gateway shows.
"""

import asyncio
import base64
import heapq
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from nacl.signing import SigningKey
from structlog.typing import FilteringBoundLogger
from yarl import URL

from gateway.control.keys import load_or_make_secret
from gateway.errors import ConfigError
from gateway.protocol.events import Event
from gateway.protocol.signature import sign
from gateway.store.records import Forward
from gateway.store.store import Store

__all__ = ["Forwarder", "load_or_make_signing_key", "open_forwarder", "public_key_of"]

_CONNECTIONS: Final = 8
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_PATIENCE: Final = 5
"""Attempts for which the later webhooks of a call wait behind one that is not taken."""


def load_or_make_signing_key(data_dir: Path) -> SigningKey:
    """Read the key that forwarded webhooks are signed with, `forward_key` in the data folder, or make it.

    Raises:
        ConfigError: The file is open to other users, holds no key, or cannot be read or written.
    """
    path = data_dir / "forward_key"
    text, _ = load_or_make_secret(path, "the key of forwarded webhooks", _make_key)
    try:
        return SigningKey(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ConfigError(f"{path} holds no key: want base64 of 32 octets") from error


def _make_key() -> str:
    return base64.b64encode(bytes(SigningKey.generate())).decode()


def public_key_of(key: SigningKey) -> str:
    """What the receiver verifies with: base64 of the raw 32 octets, as Telnyx's portal shows its own."""
    return base64.b64encode(bytes(key.verify_key)).decode()


@asynccontextmanager
async def open_forwarder(
    url: str,
    *,
    key: SigningKey,
    store: Store,
    log: FilteringBoundLogger,
    timeout: float = 10.0,
    give_up: float = 86_400.0,
    **limits: Any,
) -> AsyncIterator["Forwarder"]:
    """Forward while the context lasts; what an earlier process left goes first. What is left then stays in the store.

    Args:
        url: Where to; may hold secrets, and stands in no log.
        key: Signs.
        store: Keeps what waits.
        log: Told when the receiver begins to fail, and when it works again.
        timeout: Seconds that an answer may take.
        give_up: Seconds after which a webhook is not tried any more.
        limits: Others of `Forwarder`.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"User-Agent": "telnyx-media-gateway"},
    ) as session:
        forwarder = Forwarder(session, url, key=key, store=store, log=log, give_up=give_up, **limits)
        await forwarder.restore()
        stack = AsyncExitStack()  # a task group that is not told of the block's errors: it would wrap them
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        workers = [
            tasks.create_task(forwarder.deliver_for_ever(), name=f"forward {number}") for number in range(_CONNECTIONS)
        ]
        try:
            yield forwarder
        finally:
            for worker in workers:
                worker.cancel()
            await stack.aclose()


class _Line:
    """What waits to be delivered one after the other: the webhooks of one call."""

    __slots__ = ("attempts", "key", "waiting")

    def __init__(self, key: str) -> None:
        self.key = key
        self.waiting: deque[Forward] = deque()
        self.attempts = 0  # for the first of them


class Forwarder:
    """Delivers webhooks; made by `open_forwarder`.

    Args:
        session: Its connections are used, and its timeout holds.
        url: Where to.
        key: Signs.
        store: Keeps what waits.
        log: Told when the receiver begins to fail, and when it works again.
        give_up: Seconds after which a webhook is not tried any more.
        max_waiting: How many may wait; beyond it the oldest are lost, and counted.
        max_octets: How large all that wait may be together.
        first_pause: Seconds before the second attempt; later ones double.
        clock: Unix time, in seconds.
        chance: From 0 to 1; moves the pauses.

    Attributes:
        waiting: Webhooks that wait, or are being delivered.
        delivered: Those that were taken.
        failed: Attempts that were not.
        given_up: Webhooks that became too old.
        dropped: Webhooks for which there was no room.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        key: SigningKey,
        store: Store,
        log: FilteringBoundLogger,
        give_up: float,
        max_waiting: int = 10_000,
        max_octets: int = 64 * 2**20,
        first_pause: float = _FIRST_PAUSE,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.waiting = 0
        self.delivered = 0
        self.failed = 0
        self.given_up = 0
        self.dropped = 0
        self._session = session
        self._url = URL(url, encoded=True)
        self._key = key
        self._store = store
        self._log = log
        self._give_up = give_up
        self._max_waiting = max_waiting
        self._max_octets = max_octets
        self._first_pause = first_pause
        self._clock = clock
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._octets = 0
        self._lines: dict[str, _Line] = {}
        self._all: dict[int, tuple[_Line, Forward]] = {}  # oldest first
        self._known: set[str] = set()  # ids of what an earlier process left
        self._due: list[tuple[float, int, _Line]] = []  # a heap: when, which of the same moment, and what
        self._turn = 0
        self._wake = asyncio.Event()
        self._failing = False

    def describe(self) -> dict[str, Any]:
        """Counters as JSON-ready values."""
        return {
            "forwards_waiting": self.waiting,
            "forwards_delivered": self.delivered,
            "forwards_failed": self.failed,
            "forwards_given_up": self.given_up,
            "forwards_dropped": self.dropped,
        }

    async def restore(self) -> None:
        """Take up what an earlier process left.

        Raises:
            StoreError: The store cannot be read.
        """
        for forward in await self._store.forwards():
            self._known.add(forward.event_id)
            self._queue(forward)
        if self.waiting:
            self._log.info("forwarding taken up", waiting=self.waiting)

    def submit(self, event: Event, body: bytes) -> None:
        """Have a webhook forwarded; returns at once.

        Args:
            event: Trusted.
            body: What it was read from.
        """
        if event.id in self._known:  # the earlier process came to this, and not to the webhook's end
            self._known.discard(event.id)
            return
        line = event.payload.call_control_id or f"event {event.id}"
        forward = Forward(self._store.next_forward(), event.id, line, self._clock(), body)
        self._store.keep_forward(forward)
        self._queue(forward)

    async def deliver_for_ever(self) -> None:
        """Deliver what is due; several such tasks may run beside each other."""
        while True:
            line = await self._next()
            forward = line.waiting[0]
            if self._clock() - forward.received_at > self._give_up:
                self.given_up += 1
                self._log.error("forward given up", event_id=forward.event_id, attempts=line.attempts)
                self._forget(forward.seq)
                self._go_on(line)
                continue
            status, error = await self._deliver(forward)
            self._tell(line, forward, status, error)
            if 200 <= status < 300:
                self.delivered += 1
                self._forget(forward.seq)
                self._go_on(line)
            else:
                self.failed += 1
                self._postpone(line, forward, status)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _queue(self, forward: Forward) -> None:
        line = self._lines.get(forward.line)
        if line is None:
            line = self._lines[forward.line] = _Line(forward.line)
            self._make_due(line, 0.0)
        line.waiting.append(forward)
        self._all[forward.seq] = line, forward
        self.waiting += 1
        self._octets += len(forward.body)
        while self.waiting > self._max_waiting or self._octets > self._max_octets:
            self.dropped += 1
            self._forget(next(iter(self._all)))

    def _forget(self, seq: int) -> None:
        """What was delivered, or is given up, waits no more. It is the first of its line."""
        line, forward = self._all.pop(seq, (None, None))
        if line is None or forward is None:
            return  # it was dropped as it was being delivered
        line.waiting.popleft()
        line.attempts = 0
        self.waiting -= 1
        self._octets -= len(forward.body)
        self._store.finish_forward(seq)

    def _go_on(self, line: _Line, pause: float = 0.0) -> None:
        """Have the next of a line delivered, if there is one."""
        if line.waiting:
            self._make_due(line, pause)
        else:
            del self._lines[line.key]

    def _postpone(self, line: _Line, forward: Forward, status: int) -> None:
        if not line.waiting or line.waiting[0] is not forward:  # it was dropped meanwhile
            self._go_on(line)
            return
        line.attempts += 1
        if 400 <= status < 500 and line.attempts >= _PATIENCE and len(line.waiting) > 1:
            # The receiver is there, and does not want this one: the others go before it.
            late = self._lines[f"late {forward.seq}"] = _Line(f"late {forward.seq}")
            late.waiting.append(line.waiting.popleft())
            late.attempts, line.attempts = line.attempts, 0
            self._all[forward.seq] = late, forward
            self._go_on(line)
            line = late
        pause = min(_LONGEST_PAUSE, self._first_pause * 2.0 ** min(line.attempts - 1, 10))
        self._go_on(line, pause * (0.5 + 0.5 * self._chance()))

    def _make_due(self, line: _Line, pause: float) -> None:
        self._turn += 1
        heapq.heappush(self._due, (self._loop.time() + pause, self._turn, line))
        self._wake.set()

    async def _next(self) -> _Line:
        """Wait for a line that is due."""
        while True:
            if self._due and self._due[0][0] <= self._loop.time():
                line = heapq.heappop(self._due)[2]
                if line.waiting:
                    return line
                del self._lines[line.key]  # all that it held was dropped
                continue
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._due[0][0] if self._due else None):
                    await self._wake.wait()

    async def _deliver(self, forward: Forward) -> tuple[int, str]:
        """Try once; gives the answer's status, or 0 and why there was none."""
        headers = sign(forward.body, key=self._key, now=self._clock()) | {"Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=forward.body, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, ""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return 0, type(error).__name__  # its text may quote the URL, and that may hold a key

    def _tell(self, line: _Line, forward: Forward, status: int, error: str) -> None:
        """Log when the receiver begins to fail, when it works again, and what it does not want."""
        if 400 <= status < 500:
            if line.attempts == 0:
                self._log.warning("forward refused", status=status, event_id=forward.event_id)
            return
        failing = not 200 <= status < 300
        if failing and not self._failing:
            self._log.warning("forwarding fails", status=status, error=error, waiting=self.waiting)
        elif self._failing and not failing:
            self._log.info("forwarding works again", waiting=self.waiting)
        self._failing = failing
