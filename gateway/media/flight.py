"""What has left and was not heard yet: sound on its way to the ear, without a mark or a hole told apart.

Fifty times a second a piece of 20 ms joins it, and leaves it again when its time has come. So there is no object for
each piece: sound that follows without a gap lies in one stretch of octets, and the deadline and the position of each
piece follow from those of the first.
"""

from collections import deque
from typing import Final

import msgspec
import numpy as np

from audio_codecs import Samples

__all__ = ["FRAME_SECONDS", "Flight", "Piece"]

FRAME_SECONDS: Final = 0.02
"""Length of a piece of sound, and of the shortest message: Telnyx documents 20 ms as the least."""

_OCTETS: Final = 2  # of a sample
_INT16: Final = np.dtype(np.int16)  # numpy would look it up each time
_ROUNDING: Final = 1e-6  # seconds that a deadline may be off, as it is a sum


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Sound that has left.

    Attributes:
        deadline: When it is to be heard.
        position: Of its first sample on the call's time line, in samples at the playout's rate.
        samples: int16, shape (n,); 20 ms.
    """

    deadline: float
    position: int
    samples: Samples


class Run:
    """Pieces that follow each other without a gap, in time and in position; perhaps none.

    Attributes:
        deadline: Of the first piece.
        position: Of the first piece.
        pcm: The sound, int16 in the machine's byte order.
    """

    __slots__ = ("deadline", "pcm", "position")

    def __init__(self, deadline: float, position: int) -> None:
        self.deadline = deadline
        self.position = position
        self.pcm = bytearray()


class Flight:
    """The pieces of one call that are in flight, in the order of their deadlines.

    Args:
        sample_rate: In Hz.

    Attributes:
        last: What the next piece joins; who adds fifty a second may do so here.
        piece: Octets of one.
    """

    __slots__ = ("_runs", "last", "piece")

    def __init__(self, sample_rate: int) -> None:
        self.piece = _OCTETS * round(sample_rate * FRAME_SECONDS)
        self.last = Run(-np.inf, 0)
        self._runs = deque((self.last,))

    @property
    def samples(self) -> int:
        """How much is in flight."""
        return sum(len(run.pcm) for run in self._runs) // _OCTETS

    @property
    def first(self) -> float:
        """Deadline of the first piece in flight, or of the next that will be, unless that has passed."""
        return self._runs[0].deadline

    @property
    def playhead(self) -> float:
        """Deadline of the next piece, unless that has passed; minus infinity where none has left yet."""
        return self.last.deadline + len(self.last.pcm) // self.piece * FRAME_SECONDS

    @property
    def position(self) -> int:
        """Position of the next piece, unless it comes late."""
        return self.last.position + len(self.last.pcm) // _OCTETS

    def begin(self, deadline: float, position: int) -> None:
        """Let the next piece be heard then, and stand there, whatever was before it."""
        if self.last.pcm:
            self.last = Run(deadline, position)
            self._runs.append(self.last)
        else:
            self.last.deadline, self.last.position = deadline, position

    def add(self, samples: Samples) -> None:
        """Add whole pieces, int16 of shape (n,), to the last run."""
        self.last.pcm += samples.tobytes()

    def pieces(self) -> list[Piece]:
        """All pieces; for where it does not matter how long that takes."""
        size = self.piece
        return [
            Piece(
                run.deadline + number * FRAME_SECONDS,
                run.position + number * size // _OCTETS,
                np.frombuffer(bytes(run.pcm[number * size : (number + 1) * size]), np.int16),
            )
            for run in self._runs
            for number in range(len(run.pcm) // size)
        ]

    def count(self, time: float) -> int:
        """How many pieces have a deadline that is not after `time`."""
        return sum(self._count_in(run, time) for run in self._runs)

    def deadline_of(self, number: int) -> float:
        """The deadline of a piece that is in flight, counted from 0."""
        for run in self._runs:
            if number < (count := len(run.pcm) // self.piece):
                return run.deadline + number * FRAME_SECONDS
            number -= count
        raise IndexError(number)

    def take(self, time: float) -> list[tuple[int, Samples]]:
        """Take what is to be heard by `time`: positions and samples, what is gapless in one piece."""
        taken: list[tuple[int, Samples]] = []
        runs = self._runs
        while count := self._count_in(run := runs[0], time):
            position, pcm, size = run.position, run.pcm, count * self.piece
            whole = size == len(pcm)
            if whole:
                run.pcm = bytearray()
            else:
                pcm = pcm[:size]
                del run.pcm[:size]
            run.deadline += count * FRAME_SECONDS
            run.position += size // _OCTETS
            samples = np.frombuffer(pcm, _INT16)
            if taken and taken[-1][0] + len(taken[-1][1]) == position:
                position, before = taken.pop()
                samples = np.concatenate((before, samples))
            taken.append((position, samples))
            if not whole or len(runs) == 1:
                break
            runs.popleft()
        return taken

    def clear(self) -> None:
        """Forget all of it, as if it had not left; the next piece is due as it comes."""
        self.last = Run(-np.inf, self._runs[0].position)
        self._runs = deque((self.last,))

    def _count_in(self, run: Run, time: float) -> int:
        """How many pieces of a run are to be heard by `time`."""
        late = time + _ROUNDING - run.deadline
        if late < 0.0 or not run.pcm:
            return 0
        return min(len(run.pcm) // self.piece, int(late / FRAME_SECONDS) + 1)
