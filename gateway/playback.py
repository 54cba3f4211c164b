"""Plays: the handle that `Call.play` gives, and the tasks that read what is played.

A source is read as far ahead as the playout has room for, about two seconds, and no further: a file of hours takes as
much memory as one of seconds, and a generator is not asked for what may never be heard.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing
from typing import Any

from structlog.typing import FilteringBoundLogger

from audio_codecs import Samples
from gateway.errors import PlaybackError
from gateway.media.playback import PlaybackFinished
from gateway.media.utterance import Utterance
from gateway.player import Player
from gateway.sound.file import SoundFile

__all__ = ["Playback", "Plays"]


class Playback:
    """One play; `await` it for its end.

    Attributes:
        name: As it was given to `Call.play`, or one of the gateway's.
    """

    def __init__(self, utterance: Utterance, plays: "Plays") -> None:
        self.name = utterance.name
        self._utterance = utterance
        self._plays = plays

    def __repr__(self) -> str:
        return f"<Playback {self.name!r}, {'done' if self.done() else 'not done'}>"

    def __await__(self) -> Generator[Any, None, PlaybackFinished]:
        """Wait until it was heard to its end, or cut off.

        Raises:
            PlaybackError: Its source cannot be read, or not to its end.
        """
        return self._wait().__await__()

    @property
    def heard(self) -> int:
        """How many milliseconds of it were heard by now."""
        return self._plays.progress(self._utterance)

    @property
    def finished(self) -> PlaybackFinished | None:
        """What became of it; None until it is over."""
        return self._utterance.finished

    def done(self) -> bool:
        """Whether it is over."""
        return self._utterance.finished is not None

    def add_done_callback(self, callback: Callable[["Playback"], None]) -> None:
        """Have this called with it as it is over, or now if it is; it must not raise."""
        if self.done():
            callback(self)
        else:
            self._plays.add_done_callback(self._utterance, lambda: callback(self))

    def cancel(self) -> None:
        """Take away what was not heard of it, at once; what was said before and behind it goes on."""
        self._plays.cancel(self._utterance)

    async def _wait(self) -> PlaybackFinished:
        await self._plays.wait_finished([self._utterance])
        finished = self._utterance.finished
        assert finished is not None
        if finished.error is not None:
            raise PlaybackError(f"{self.name}: {finished.error}")
        return finished


class Plays:
    """The plays of one call.

    Args:
        player: Says what they read.
        clock: Monotonic seconds.
        arm: Has the call woken for what the player does next.
        hear: Brings the player's accounts up to the present.
        log: The call's.
        grace: Seconds that a source may take to stop.
    """

    def __init__(
        self,
        player: Player,
        *,
        clock: Callable[[], float],
        arm: Callable[[], None],
        hear: Callable[[float], None],
        log: FilteringBoundLogger,
        grace: float = 5.0,
    ) -> None:
        self._player = player
        self._clock = clock
        self._arm = arm
        self._hear = hear
        self._log = log
        self._grace = grace
        self._plays = 0
        self._parent: asyncio.TaskGroup | None = None
        self._waiting: dict[Utterance, AsyncGenerator[Samples | SoundFile]] = {}  # for the parent
        self._tasks: dict[Utterance, asyncio.Task[None]] = {}
        self._callbacks: dict[Utterance, list[Callable[[], None]]] = {}
        self._finished = asyncio.Event()

    def start(self, sound: AsyncGenerator[Samples | SoundFile], name: str | None) -> Playback:
        """Queue a play.

        Raises:
            PlaybackError: Too many wait.
        """
        self._plays += 1
        utterance = Utterance(name or f"play {self._plays}")
        self._player.open(utterance, now=self._clock())
        self._waiting[utterance] = sound
        if self._parent is not None:
            self.run(self._parent)
        return Playback(utterance, self)

    def refuse(self, name: str | None) -> Playback:
        """What a call that has ended gives for a play."""
        utterance = Utterance(name or "play")
        utterance.finished = PlaybackFinished(
            name=utterance.name, queued=0, sent=0, heard=0, cleared=0, interrupted=True, estimated=False
        )
        return Playback(utterance, self)

    def run(self, parent: asyncio.TaskGroup) -> None:
        """Read the sources from now on, each in a task of its own."""
        self._parent = parent
        for utterance, sound in self._waiting.items():
            task = parent.create_task(self._run(utterance, sound), name=f"play {utterance.name}"[:80])
            self._tasks[utterance] = task
        self._waiting.clear()

    def finished(self, utterance: Utterance) -> None:
        """An utterance is over: stop reading, and tell those who wait for it."""
        self._waiting.pop(utterance, None)
        task = self._tasks.pop(utterance, None)
        if task is not None:
            task.cancel()
        self._finished.set()
        self._finished.clear()
        for callback in self._callbacks.pop(utterance, ()):
            callback()

    def add_done_callback(self, utterance: Utterance, callback: Callable[[], None]) -> None:
        """Have this called as an utterance that is not over is."""
        self._callbacks.setdefault(utterance, []).append(callback)

    def waiting(self) -> list[Playback]:
        """All that is not over, in order."""
        return [Playback(utterance, self) for utterance in self._player.utterances()]

    async def wait_finished(self, utterances: Iterable[Utterance]) -> None:
        """Wait until all of these are over."""
        for utterance in utterances:
            while utterance.finished is None:
                await self._finished.wait()

    def progress(self, utterance: Utterance) -> int:
        """How many milliseconds were heard by now."""
        return self._player.progress(utterance, now=self._clock())

    def cancel(self, utterance: Utterance) -> None:
        """Cut off an utterance."""
        if utterance.finished is None:
            now = self._clock()
            self._hear(now)
            self._player.cancel(utterance, now=now)
            self._arm()

    async def _run(self, utterance: Utterance, sound: AsyncGenerator[Samples | SoundFile]) -> None:
        """Read one source, which may be an application's own code: what will not stop is left behind, and told."""
        reading = asyncio.ensure_future(self._read(utterance, sound))
        try:
            await asyncio.wait((reading,))
        finally:
            reading.cancel()
            _, stuck = await asyncio.wait((reading,), timeout=self._grace)
            if stuck:
                self._log.error("the source of a play cannot be stopped", playback=utterance.name, grace=self._grace)

    async def _read(self, utterance: Utterance, sound: AsyncGenerator[Samples | SoundFile]) -> None:
        room = asyncio.Event()
        utterance.on_room = room.set
        error = None
        try:
            async with aclosing(sound):
                async for piece in sound:
                    room.clear()
                    if isinstance(piece, SoundFile):
                        self._player.add_file(utterance, piece, now=self._clock())
                    elif not self._player.add(utterance, piece, now=self._clock()):
                        self._arm()
                        await room.wait()
                    self._arm()
        except Exception as failure:  # noqa: BLE001 - whatever a source raises ends its play, and no more
            error = str(failure) if isinstance(failure, PlaybackError) else f"{type(failure).__name__}: {failure}"
            self._log.warning("play failed", playback=utterance.name, error=error[:500])
        if utterance.finished is None:
            now = self._clock()
            self._player.close(utterance, error=None if error is None else error[:500], now=now)
            self._hear(now)  # a play without any sound may be over
            self._arm()
