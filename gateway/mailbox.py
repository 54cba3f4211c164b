"""What an agent has not looked at yet: a bounded queue between the frame's path and one reader."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

__all__ = ["Mailbox"]

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Plain `put` on one side, `async for` on the other.

    Args:
        limit: How many items may wait; then one is dropped and counted.
        expendable: The kind of which the oldest is dropped first; if none of it waits, the oldest of all.
    """

    def __init__(self, limit: int, *, expendable: type = object) -> None:
        self.dropped = 0
        self._expendable = expendable
        self._items: deque[T] = deque()
        self._limit = limit
        self._closed = False
        self._something = asyncio.Event()

    def put(self, item: T) -> None:
        """Add an item; nothing is added once closed."""
        if self._closed:
            return
        if len(self._items) == self._limit:
            self._drop()
        self._items.append(item)
        self._something.set()

    def _drop(self) -> None:
        self.dropped += 1
        for place, item in enumerate(self._items):
            if isinstance(item, self._expendable):
                del self._items[place]
                return
        self._items.popleft()

    def close(self) -> None:
        """Let the reader end once it has read what is here."""
        self._closed = True
        self._something.set()

    def __aiter__(self) -> "Mailbox[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._something.clear()
            await self._something.wait()
        return self._items.popleft()
