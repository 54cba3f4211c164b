"""Faults of media, without I/O and without a clock: a message goes in, and what comes of it when comes out.

What comes out is in the order of its time, so whoever sends it needs one queue. Messages are octets of any kind; what
a malformed one looks like is handed in.
"""

import random
from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.simulator.faults import MediaFaults

__all__ = ["MediaFaultEngine", "Note", "Spoil", "Timed", "spoil_datagram", "spoil_text"]

Timed: TypeAlias = tuple[float, bytes]
"""When a message is sent, in seconds, and the message."""

Note: TypeAlias = Callable[..., None]
"""Is told of each fault: its name, and its fields."""

Spoil: TypeAlias = Callable[[bytes, random.Random], bytes]
"""Makes something malformed of a message."""


class MediaFaultEngine:
    """What happens to one stream's media.

    Args:
        faults: What goes wrong.
        dice: Decide; with the same ones, and the same messages at the same times, the same comes out.
        spoil: Makes a message malformed.
        note: Told of each fault. Jitter is told of once.
    """

    def __init__(self, faults: MediaFaults, dice: random.Random, *, spoil: Spoil, note: Note) -> None:
        self._faults = faults
        self._dice = dice
        self._spoil = spoil
        self._note = note
        self._number = 0
        self._start: float | None = None
        self._to_lose = 0
        self._held: list[tuple[int, bytes]] = []  # with the number of the message that it comes behind
        self._last = float("-inf")
        self._stalled_until = float("-inf")
        if faults.jitter:
            note("jitter", up_to_ms=round(1000 * faults.jitter, 3))

    def push(self, message: bytes, now: float) -> list[Timed]:
        """Take the next message; returns what is to be sent, and when: never before `now`, in order."""
        faults, throw = self._faults, self._dice.random
        self._number += 1
        if self._start is None:
            self._start = now
        # Always thrown, so that one fault's chance does not change where the others strike.
        lost, malformed, reordered, doubled = (throw() for _ in range(4))
        if self._to_lose or lost < faults.lost:
            self._to_lose = (self._to_lose or faults.lost_run) - 1
            self._note("lost", frame=self._number)
            return self._overtaken(now)
        if malformed < faults.malformed:
            self._note("malformed", frame=self._number)
            message = self._spoil(message, self._dice)
        if reordered < faults.reordered:
            self._note("reordered", frame=self._number)
            self._held.append((self._number + faults.reordered_by, message))
            return []
        at = self._time(now)
        out = [(at, message)]
        if doubled < faults.doubled:
            self._note("doubled", frame=self._number)
            out.append((at, message))
        return out + self._overtaken(now)

    def flush(self, now: float) -> list[Timed]:
        """Give up what was held for others to overtake it."""
        out = [(max(now, self._last), message) for _, message in self._held]
        self._held.clear()
        return out

    def _overtaken(self, now: float) -> list[Timed]:
        ready = [message for number, message in self._held if number <= self._number]
        self._held = [(number, message) for number, message in self._held if number > self._number]
        return [(max(now, self._last), message) for message in ready]

    def _time(self, now: float) -> float:
        faults = self._faults
        at = now + (self._dice.uniform(0, faults.jitter) if faults.jitter else 0.0)
        if faults.stall_every:
            assert self._start is not None
            into = (now - self._start) % faults.stall_every
            if into >= faults.stall_every - faults.stall:
                at = max(at, now - into + faults.stall_every)
                if now >= self._stalled_until:
                    self._stalled_until = now - into + faults.stall_every
                    self._note("stall", seconds=round(self._stalled_until - now, 3))
        self._last = at = max(at, self._last)
        return at


def spoil_text(text: bytes, dice: random.Random) -> bytes:
    """Make a media message into a text that is none, in one of the ways in which programs break."""
    return dice.choice(_BROKEN)(text)


_BROKEN: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(b'"payload":"', b'"payload":"?', 1),
    lambda text: text.replace(b'"payload"', b'"pay1oad"', 1),
    lambda text: text.replace(b'"sequence_number":"', b'"sequence_number":"x', 1),
    lambda _: b"null",
)


def spoil_datagram(datagram: bytes, dice: random.Random) -> bytes:
    """Make an RTP packet into a datagram that is none."""
    return dice.choice((datagram[:8], b"\x00" + datagram[1:], b""))
