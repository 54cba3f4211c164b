"""The sound of one leg: every 20 ms, on absolute deadlines, its person hears a frame and says the next one.

What is said goes to all who listen, by plain calls: the leg's streams and the other leg of a bridge. Nothing is said
while nobody listens, so that an application hears a recorded sentence from its beginning, however late its stream is;
but for machines, which do not wait.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from audio_codecs import Samples
from gateway.simulator.clock import Clock, Timer
from gateway.simulator.journal import Journal
from gateway.simulator.playout import TICK
from gateway.simulator.speech import SAMPLE_RATE

__all__ = ["Line", "Listener", "Speaker"]

_FRAME_SAMPLES: Final = round(SAMPLE_RATE * TICK)


class Speaker(Protocol):
    """The person on the phone.

    Attributes:
        note: To be told what the person does: a kind and its fields.
    """

    note: Callable[..., None]

    @property
    def finished(self) -> bool:
        """Nothing is left to say: the receiver is put down."""

    def hear(self, samples: Samples) -> None:
        """Hear the 20 ms before the frame that is spoken next."""

    def speak(self) -> Samples:
        """The next 20 ms."""

    def take_pressed(self) -> list[str]:
        """The keys whose tones began in what was spoken since the last call."""

    def cleared(self) -> None:
        """The application has sent `clear`: what it had to say is taken back."""

    def describe(self) -> list[dict[str, Any]]:
        """What came of the steps of the person's script so far, as JSON-ready values."""


Listener: TypeAlias = Callable[[Samples, float], None]
"""Takes a frame and its deadline, on `Clock.now`."""


class Line:
    """What is heard and said on one leg.

    Args:
        speaker: Who speaks.
        journal: What reaches the ear.
        clock: Of the simulator.
        on_finished: Called when the speaker has nothing more to say and puts the receiver down.
        on_pressed: Called with each key that the speaker presses.
    """

    def __init__(
        self,
        speaker: Speaker,
        journal: Journal,
        clock: Clock,
        on_finished: Callable[[], None],
        on_pressed: Callable[[str], None],
    ) -> None:
        self._speaker = speaker
        self._journal = journal
        self._clock = clock
        self._on_finished = on_finished
        self._on_pressed = on_pressed
        self._listeners: list[Listener] = []
        self._keeps_on = False
        self._timer: Timer | None = None
        self._start = 0.0
        self._ticks = 0

    def listen(self, listener: Listener) -> float:
        """Hear what is said from now on.

        Returns:
            The deadline of the first frame that comes.
        """
        self._listeners.append(listener)
        self._go_on()
        return self._deadline

    def leave(self, listener: Listener) -> None:
        """Hear no more. Whoever does not listen may leave."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and not self._keeps_on:
            self._pause()

    def cleared(self) -> None:
        """The application has taken back what it had to say."""
        self._speaker.cleared()

    def speak_on(self) -> None:
        """Speak from now on, whether anybody listens or not."""
        self._keeps_on = True
        self._go_on()

    def close(self) -> None:
        """Say nothing more."""
        self._listeners.clear()
        self._keeps_on = False
        self._pause()

    @property
    def _deadline(self) -> float:
        return self._start + self._ticks * TICK

    def _go_on(self) -> None:
        if self._timer is None:
            self._start, self._ticks = self._clock.now(), 0
            self._timer = self._clock.call_later(0.0, self._tick)

    def _pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        at = self._deadline
        self._speaker.hear(self._journal.heard.window(self._journal.position(at) - _FRAME_SAMPLES, _FRAME_SAMPLES))
        frame = self._speaker.speak()
        if self._speaker.finished:
            self.close()
            self._on_finished()
            return
        self._ticks += 1
        self._timer = self._clock.call_later(max(0.0, self._deadline - self._clock.now()), self._tick)
        for key in self._speaker.take_pressed():
            self._on_pressed(key)
        for listener in tuple(self._listeners):
            listener(frame, at)
