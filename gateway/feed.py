"""What happens in the calls, for everybody who follows them: kept for a while, and handed to readers as it comes.

Publishing is a plain call, made between two frames: it encodes the event once, for all readers, and wakes nobody by
itself. What was octets before, such as a webhook, is kept as these, and encoded when somebody reads it: most never is.
Readers are woken a few in each turn of the event loop, so that two hundred of them never stand between a frame and its
way; what happens until a reader's turn comes is read at once.

Events are numbered through all calls, upwards, also from one process to the next: the first number is the time of the
start in microseconds. Whoever comes back with the number that was read last gets what followed, and is told where
some of that is not kept any more.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

import msgspec

__all__ = ["CallEvent", "CallFeed", "FeedReader"]

_MAX_EVENT_BYTES: Final = 65_536
_MAX_TYPE: Final = 100
_ENVELOPE_BYTES: Final = 256  # about what an event's text has beside its data
_WAKE_INTERVAL: Final = 0.002
_WAKE_AT_ONCE: Final = 4  # readers; each then writes to its socket, some 50 us

_encoder: Final = msgspec.json.Encoder()


Reading: TypeAlias = Callable[[bytes], Mapping[str, Any]]
"""Makes an event's data of the octets that were kept of it."""


class _Refused:
    """How many events were not JSON, or too large; by itself, so that no event holds the feed."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


# Not looked at by the garbage collector, as there are tens of thousands: nothing here leads back to an event.
class CallEvent(msgspec.Struct, gc=False, eq=False):
    """Something that happened in a call.

    Attributes:
        id: Its number, higher than that of every event before it.
        call_control_id: Of the call; None where it is of no one's.
        event_type: Its dotted name.
        at: Unix time.
        size: How many octets it counts for.
    """

    id: int
    call_control_id: str | None
    event_type: str
    at: float
    size: int
    _octets: bytes  # the text; or what it is to be made of, by `_reading`
    _reading: Reading | None
    _refused: _Refused

    @property
    def text(self) -> bytes:
        """All of it as one JSON object without line ends: `id`, `at`, `call_control_id`, `event_type` and `data`."""
        if self._reading is not None:
            self.write_down(self._reading(self._octets))
        return self._octets

    def write_down(self, data: Mapping[str, Any]) -> None:
        """Make the text; without the data, where they are not JSON-ready, or too large."""
        event = {
            "id": self.id,
            "at": round(self.at, 6),
            "call_control_id": self.call_control_id,
            "event_type": self.event_type,
            "data": data,
        }
        try:
            text = _encoder.encode(event)
            if len(text) > _MAX_EVENT_BYTES:
                raise ValueError(f"an event has {len(text)} octets, limit {_MAX_EVENT_BYTES}")
        except (TypeError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            self._refused.count += 1
            call_control_id = _plain(self.call_control_id or "")
            problem = {"problem": _plain(str(error))[:200]}
            text = _encoder.encode(event | {"call_control_id": call_control_id, "data": problem})
        self._octets, self._reading = text, None


class _Kept:
    """The last events, by number and by octets."""

    __slots__ = ("dropped_through", "events", "max_bytes", "max_events", "size", "state")

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.events: deque[CallEvent] = deque()
        self.size = 0
        self.dropped_through = 0  # the number of the last event that is not here any more
        self.state = ""  # of the call, as it was told last
        self.max_events = max_events
        self.max_bytes = max_bytes

    def add(self, event: CallEvent) -> None:
        self.events.append(event)
        self.size += event.size
        while len(self.events) > self.max_events or self.size > self.max_bytes:
            oldest = self.events.popleft()
            self.size -= oldest.size
            self.dropped_through = oldest.id

    def after(self, last_id: int) -> list[CallEvent]:
        return [event for event in self.events if event.id > last_id]


class FeedReader:
    """One who follows a call, or all of them; made by `CallFeed.follow`.

    Attributes:
        call_control_id: Of the call; None for all.
        dropped: It did not read, and gets nothing more.
    """

    def __init__(self, call_control_id: str | None, *, limit: int) -> None:
        self.call_control_id = call_control_id
        self.dropped = False
        self._limit = limit
        self._waiting: deque[CallEvent] = deque()
        self._woken = asyncio.Event()

    async def read(self) -> list[CallEvent]:
        """Wait for events; those that have come, oldest first. Nothing once the reader was dropped."""
        await self._woken.wait()
        self._woken.clear()
        events = list(self._waiting)
        self._waiting.clear()
        return [] if self.dropped else events

    def put(self, event: CallEvent) -> bool:
        """Take an event to be read; False where too many wait already."""
        if len(self._waiting) >= self._limit:
            self.dropped = True
            self._waiting.clear()
            return False
        self._waiting.append(event)
        return True

    def wake(self) -> None:
        """Have `read` return."""
        self._woken.set()


class CallFeed:
    """Takes events, keeps the last ones, and hands them to those who follow; made inside the event loop it works in.

    Args:
        max_events_per_call: How many events of one call are kept.
        max_bytes_per_call: And how many octets of them.
        max_calls: Of how many calls; the one that was silent the longest is forgotten first.
        max_bytes: How many octets of all calls together.
        max_waiting: Events that may wait for one reader; one more, and it is dropped.
        clock: Unix time, in seconds.

    Attributes:
        published: How many events were told.
        readers_dropped: How many readers did not read.
    """

    def __init__(
        self,
        *,
        max_events_per_call: int = 500,
        max_bytes_per_call: int = 262_144,
        max_calls: int = 2000,
        max_bytes: int = 32 * 2**20,
        max_waiting: int = 500,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.published = 0
        self.readers_dropped = 0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._refused = _Refused()
        self._clock = clock
        self._last_id = int(clock() * 1e6)
        self._first_id = self._last_id + 1
        self._max_events_per_call = max_events_per_call
        self._max_bytes_per_call = max_bytes_per_call
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._calls: OrderedDict[str, _Kept] = OrderedDict()  # the one that was silent the longest first
        self._size = 0
        self._forgotten_through = self._last_id  # the last event of all the calls that were forgotten
        self._all = _Kept(5000, max_bytes // 2)
        self._readers: dict[str | None, list[FeedReader]] = {}
        self._due: OrderedDict[FeedReader, None] = OrderedDict()  # readers to be woken
        self._timer: asyncio.TimerHandle | None = None

    @property
    def refused(self) -> int:
        """How many events were not JSON, or too large: their `data` was left out."""
        return self._refused.count

    @property
    def last_id(self) -> int:
        """The number of the last event."""
        return self._last_id

    @property
    def readers(self) -> int:
        """How many follow a call, or all of them."""
        return sum(map(len, self._readers.values()))

    def counters(self) -> dict[str, int]:
        """As JSON-ready values."""
        return {
            "events_published": self.published,
            "events_refused": self.refused,
            "event_readers": self.readers,
            "event_readers_dropped": self.readers_dropped,
        }

    def publish(self, call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell an event, from any thread; returns at once, and never raises.

        Args:
            call_control_id: Any text.
            event_type: A dotted name, such as `gather.ended`.
            data: JSON-ready values, copied here; where they are not, or are more than 64 KiB, they are left out.
        """
        if threading.get_ident() != self._thread:
            with suppress(RuntimeError):  # the loop is closed: nobody follows any more
                self._loop.call_soon_threadsafe(self.publish, call_control_id, event_type, dict(data))
            return
        event = self._next(call_control_id, event_type, b"", None)
        event.write_down(data)
        event.size = len(event.text)
        self._add(call_control_id, event)

    def publish_octets(self, call_control_id: str, event_type: str, octets: bytes, reading: Reading) -> None:
        """Tell an event whose data are made when somebody reads it, if ever; from the event loop's thread only.

        Args:
            call_control_id: Any text.
            event_type: A dotted name.
            octets: All that is kept of it; not much less than its data as JSON.
            reading: Makes the data; a plain function, which must not raise.
        """
        if len(octets) > _MAX_EVENT_BYTES:
            self.publish(call_control_id, event_type, reading(octets))
        else:
            self._add(call_control_id, self._next(call_control_id, event_type, octets, reading))

    def publish_state(self, call_control_id: str, state: str) -> None:
        """Tell how far a call has come, as `call.state`, unless that was told last."""
        kept = self._calls.get(call_control_id)
        if kept is None or kept.state != state:
            self.publish_octets(call_control_id, "call.state", state.encode(), _state)
            self._calls[call_control_id].state = state

    @contextmanager
    def follow(self, call_control_id: str | None, last_id: int | None) -> Iterator[tuple[FeedReader, list[CallEvent]]]:
        """Follow a call while the context lasts.

        Args:
            call_control_id: Of the call; None for all.
            last_id: The number of the event that was read last; None for the first time, which begins with what is
                kept of the call, or, for all calls, with what comes next.

        Gives:
            The reader, and what is to be read before it: a `feed.gap` first, where events after `last_id` are not kept
            any more.
        """
        reader = FeedReader(call_control_id, limit=self._max_waiting)
        self._readers.setdefault(call_control_id, []).append(reader)
        try:
            yield reader, self._missed(call_control_id, last_id)
        finally:
            self._leave(reader)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _next(self, call_control_id: str, event_type: str, octets: bytes, reading: Reading | None) -> CallEvent:
        if not (len(event_type) <= _MAX_TYPE and event_type.isascii() and event_type.isprintable()):
            event_type = "unnamed"
        self._last_id += 1
        self.published += 1
        size = _ENVELOPE_BYTES + len(octets)
        now = self._clock()
        return CallEvent(self._last_id, call_control_id, event_type, now, size, octets, reading, self._refused)

    def _add(self, call_control_id: str, event: CallEvent) -> None:
        kept = self._calls.get(call_control_id)
        if kept is None:
            kept = self._calls[call_control_id] = _Kept(self._max_events_per_call, self._max_bytes_per_call)
            kept.dropped_through = self._forgotten_through
        self._size -= kept.size
        kept.add(event)
        self._size += kept.size
        self._all.add(event)
        self._calls.move_to_end(call_control_id)
        while len(self._calls) > self._max_calls or (self._size > self._max_bytes and len(self._calls) > 1):
            self._forget_one()
        if self._readers:
            for key in (call_control_id, None):
                if key in self._readers:
                    self._hand_out(key, event)

    def _missed(self, call_control_id: str | None, last_id: int | None) -> list[CallEvent]:
        if call_control_id is None:
            kept, forgotten_through = self._all, max(self._all.dropped_through, self._first_id - 1)
            if last_id is None:
                return []
        else:
            found = self._calls.get(call_control_id)
            kept = _Kept(0, 0) if found is None else found
            forgotten_through = self._forgotten_through if found is None else kept.dropped_through
            if last_id is None:
                return list(kept.events)
        if last_id > self._last_id:  # of a process whose clock was ahead: nobody knows what was read
            last_id = 0
        missed = kept.after(last_id)
        if last_id >= forgotten_through:
            return missed
        # Its number is the last that was dropped: whoever comes back with it is not told again.
        gap = CallEvent(forgotten_through, call_control_id, "feed.gap", self._clock(), 0, b"", None, self._refused)
        gap.write_down({"after": last_id, "through": forgotten_through})
        return [gap, *missed]

    def _forget_one(self) -> None:
        _, kept = self._calls.popitem(last=False)
        self._size -= kept.size
        self._forgotten_through = max(self._forgotten_through, kept.events[-1].id if kept.events else 0)

    def _hand_out(self, key: str | None, event: CallEvent) -> None:
        for reader in list(self._readers[key]):
            if not reader.put(event):
                self.readers_dropped += 1
                self._readers[key].remove(reader)
            self._due[reader] = None
        if self._timer is None:
            self._timer = self._loop.call_later(0, self._wake)

    def _wake(self) -> None:
        for _ in range(min(_WAKE_AT_ONCE, len(self._due))):
            self._due.popitem(last=False)[0].wake()
        again = bool(self._due)
        self._timer = self._loop.call_later(_WAKE_INTERVAL, self._wake) if again else None

    def _leave(self, reader: FeedReader) -> None:
        self._due.pop(reader, None)
        readers = self._readers.get(reader.call_control_id, [])
        if reader in readers:
            readers.remove(reader)
        if not readers:
            self._readers.pop(reader.call_control_id, None)


def _state(octets: bytes) -> Mapping[str, Any]:
    return {"state": octets.decode()}


def _plain(text: str) -> str:
    """The text without what JSON cannot say."""
    return text.encode("utf-8", "replace").decode()
