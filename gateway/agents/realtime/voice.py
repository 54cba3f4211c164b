"""What a model says in a call: item after item, each a play of its own, so that the ledger knows how much was heard.

A model says things faster than they can be heard. What does not fit into the playout waits here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from audio_codecs import Samples
from gateway.call import Call
from gateway.playback import Playback

__all__ = ["Cut", "Spoken", "Voice"]

_MAX_SECONDS: Final = 600.0  # of one item that may wait
_CHUNK: Final = 0.2  # seconds: a longer one would be converted in a thread


class Cut(NamedTuple):
    """An item that was not heard to its end.

    Attributes:
        item: Which.
        heard_ms: How much of it was heard.
    """

    item: "Spoken"
    heard_ms: int


class Spoken:
    """One item of the model's, as it is said.

    Attributes:
        item_id: The model's name for it.
        content_index: Which part of the item is the sound.
        response_id: Of which response it is.
        playback: Tells how much was heard.
        samples: How many have come.
        samples_dropped: How many had no room.
        text: The words, once they are known.
    """

    def __init__(self, call: Call, item_id: str, content_index: int, response_id: str, sample_rate: int) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.response_id = response_id
        self.samples = 0
        self.samples_dropped = 0
        self.text = ""
        self._rate = sample_rate
        self._waiting: deque[Samples] = deque()
        self._waits = 0  # samples
        self._over = False
        self._something = asyncio.Event()
        self.playback: Playback = call.play(self._chunks(), sample_rate, name=item_id[:100])

    @property
    def milliseconds(self) -> int:
        """How long it is so far."""
        return self.samples * 1000 // self._rate

    def add(self, samples: Samples) -> None:
        """There is more of it."""
        if self._over or self.playback.done():
            return
        if self._waits + len(samples) > _MAX_SECONDS * self._rate:
            self.samples_dropped += len(samples)
            return
        self.samples += len(samples)
        size = round(_CHUNK * self._rate)
        for begin in range(0, len(samples), size):
            self._waiting.append(samples[begin : begin + size])
        self._waits += len(samples)
        self._something.set()

    def end(self) -> None:
        """There is no more of it."""
        self._over = True
        self._something.set()

    async def _chunks(self) -> AsyncGenerator[Samples]:
        while True:
            while self._waiting:
                samples = self._waiting.popleft()
                self._waits -= len(samples)
                yield samples
            if self._over:
                return
            self._something.clear()
            await self._something.wait()


class Voice:
    """All that the model says in one call.

    Args:
        call: The call.
        sample_rate: Of what the model says, in Hz.
    """

    def __init__(self, call: Call, sample_rate: int) -> None:
        self._call = call
        self._rate = sample_rate
        self._items: dict[str, Spoken] = {}
        self._cut_responses: deque[str] = deque(maxlen=16)
        self.response_id = ""  # the one that is coming in

    def say(self, response_id: str, item_id: str, content_index: int, samples: Samples) -> None:
        """Say a piece; what belongs to a response that was cut off comes too late, and is not said."""
        if response_id in self._cut_responses:
            return
        item = self._items.get(item_id)
        if item is None:
            for known in [known for known in self._items.values() if known.playback.done()]:
                del self._items[known.item_id]
            item = self._items[item_id] = Spoken(self._call, item_id, content_index, response_id, self._rate)
        item.add(samples)

    def end(self, item_id: str) -> None:
        """There is no more of this item."""
        if item_id in self._items:
            self._items[item_id].end()

    def end_all(self) -> None:
        """There is no more of anything: the connection is lost."""
        for item in self._items.values():
            item.end()
        self._items.clear()

    def note_text(self, item_id: str, text: str) -> None:
        """What an item says, in words."""
        if item_id in self._items:
            self._items[item_id].text = text

    def interrupt(self) -> list[Cut]:
        """Fall silent; returns what was not heard to its end, and how much of it was."""
        speaking = [item for item in self._items.values() if not item.playback.done()]
        if self.response_id:
            self._cut_responses.append(self.response_id)
        if not speaking:
            return []
        self._call.clear()
        cuts = []
        for item in speaking:
            item.end()
            del self._items[item.item_id]
            if item.response_id not in self._cut_responses:
                self._cut_responses.append(item.response_id)
            cuts.append(Cut(item, min(item.playback.heard, item.milliseconds)))
        return cuts
