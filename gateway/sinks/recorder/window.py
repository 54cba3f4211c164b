"""The part of the file that is being heard: frames are placed in it as they come, and turn by turn it moves on.

A frame's way ends here with one copy to its place in memory that lies as the file has it, two tracks side by side: what
a frame costs is mostly the memory that it touches, as that of hundreds of calls is in no cache. Everything else is done
once for a whole turn, and by plain copies of octets: numpy would let the other threads have the interpreter for them,
the event loop and the writer thread, which wait for each other then several times a turn.

The window's beginning is the last 0.2 s of the turn before, which go to the disk a second time: the application's
channel is told a little late (sound is sent ahead of its time, and told a tenth of a second at a time), and would
otherwise have to be read back and mended.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from gateway.sinks.recorder.encoding import Heard

__all__ = ["Block", "BlockPool", "Stretch", "Window"]

_ROOM: Final = 1.2  # seconds: those between two turns, those that are kept, and a little more
_KEPT: Final = 0.2  # seconds
_SPARE: Final = 64  # blocks; a slow disk may have needed many more


class Block:
    """A piece of memory for the sound of two tracks.

    Attributes:
        heard: Shape (n, 2).
        tracks: The same, each by itself.
        octets: All of it as it lies in memory.
    """

    __slots__ = ("heard", "octets", "tracks")

    def __init__(self, length: int, dtype: np.dtype[Any], silence: int = 0) -> None:
        self.heard = np.full((length, 2), silence, dtype)
        self.tracks = (self.heard[:, 0], self.heard[:, 1])
        self.octets = self.heard.data.cast("B")


class BlockPool:
    """Blocks of one kind that wait to be used again.

    They go to the writer thread and come back in a moment, so few are enough beside those in use. `take` and
    `give_back` may be called from any thread.

    Args:
        sample_rate: In Hz.
        dtype: Of a value.
        silence: The value that is silent.

    Attributes:
        length: Of a block, in samples of each track.
        kept: How much of a turn is kept for the next; the same.
        row: Octets of a sample of each track.
    """

    def __init__(self, sample_rate: int, dtype: np.dtype[Any], silence: int) -> None:
        self.length = round(_ROOM * sample_rate)
        self.kept = round(_KEPT * sample_rate)
        self.row = 2 * dtype.itemsize
        self._dtype = dtype
        self._silence = silence
        self._silent = memoryview(np.full(2 * self.length, silence, dtype).tobytes())
        self._blocks: list[Block] = []

    def take(self) -> Block:
        """A silent block."""
        try:
            return self._blocks.pop()
        except IndexError:
            return Block(self.length, self._dtype, self._silence)

    def give_back(self, block: Block, used: int) -> None:
        """A block that nobody looks at any more.

        Args:
            block: The block.
            used: How much of it is not silent; what was just written is still in the writer thread's cache.
        """
        if len(self._blocks) < _SPARE and len(block.heard) == self.length:
            end = used * self.row
            block.octets[:end] = self._silent[:end]
            self._blocks.append(block)


class Stretch(NamedTuple):
    """Sound on its way to the file.

    Attributes:
        position: Of the first sample.
        block: Has it, and perhaps more.
        length: How much it is, in samples of each track.
    """

    position: int
    block: Block
    length: int

    @property
    def heard(self) -> Heard:
        """The sound, shape (length, 2)."""
        return self.block.heard[: self.length]


class Window:
    """Where the next sound goes. Lengths are in samples.

    Args:
        pool: Has the blocks.
        sample_rate: Of the sound that fits in, in Hz.
        kept: How much of each turn is kept for the next; 0 if nothing is ever told late.

    Attributes:
        sample_rate: As given.
        kept: As given.
        start: Position of its first sample.
        filled: How much there is so far.
        limit: Up to where frames are placed without further thought.
        frames: How many those were, and others, since the last turn.
        left: The caller's sound.
        right: The application's.
        right_end: Where the application's last sound ended, at its own rate.
    """

    __slots__ = (
        "_block",
        "_pool",
        "filled",
        "frames",
        "kept",
        "left",
        "limit",
        "right",
        "right_end",
        "sample_rate",
        "start",
    )

    def __init__(self, pool: BlockPool, *, sample_rate: int, kept: int) -> None:
        self._pool = pool
        self.sample_rate = sample_rate
        self.kept = kept
        self.start = self.filled = self.limit = self.frames = self.right_end = 0
        self._use(pool.take())

    @property
    def end(self) -> int:
        """Position behind the last sample that there is so far."""
        return self.start + self.filled

    @property
    def room(self) -> int:
        """How much there can be."""
        return self._pool.length

    def move_to(self, position: int) -> Stretch:
        """Give the sound away and begin again, so that there is room at a position, which is not before the start."""
        full = Stretch(self.start, self._block, self.filled)
        self._use(self._pool.take())
        kept = min(self.kept, full.length)
        self.start += full.length - kept
        if position - self.start < self.room:
            row = self._pool.row
            self._block.octets[: kept * row] = full.block.octets[(full.length - kept) * row : full.length * row]
        else:
            self.start, kept = position, 0
        self.filled = kept
        return full

    def _use(self, block: Block) -> None:
        self._block = block
        self.left, self.right = block.tracks
