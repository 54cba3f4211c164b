"""What the application says, on its way to the wire: when each 20 ms leaves, and when it is heard.

Two times belong to each piece of sound. Its *deadline* is when it is to be heard; deadlines of one utterance are
exactly 20 ms apart, on one clock, so that no error adds up. It *leaves* up to `lead` seconds earlier: the carrier
queues what comes early, and the lead rides out a stall of the event loop. The lead is only a ceiling on sending ahead.
A piece that is pushed with nothing before it is due at once and leaves at once, which is why an echo has no delay
from here. Sound that has to wait leaves on the ticks of its call, so that calls which began together do not leave
together, and as many pieces in one message as the settings allow.

Each piece also has a *position* on the call's time line. It follows the piece before it, unless the application has
fallen behind: then it is due the moment it comes, and begins where the caller's channel is by then, if that is later.
So a recorder leaves the hole where the listener had one.

Sound belongs to utterances, which are said one after another: a play, or what `push` is given until a mark, a play or
a second of silence ends it. Marks stand in the queue between the utterances and leave directly behind the sound before
them. The playout sends marks of its own before a play, after each second of sound that waited, and behind each
utterance; by their echoes the ledger knows what was heard. What is pushed as it happens costs none, however long.

None from before a `clear` can leave after it. `take_back` is a `clear` that keeps: what was not heard stands in the
queue again, to be sent anew, which is how a pause acts at once and loses nothing.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from audio_codecs import Samples
from gateway.media.ear import OWN_MARK
from gateway.media.flight import FRAME_SECONDS, Flight, Piece
from gateway.media.playback import PlaybackLedger
from gateway.media.utterance import Utterance, UtteranceQueue

__all__ = ["MAX_QUEUED", "Playout"]

MAX_QUEUED: Final = 600.0
"""Seconds of sound of one call that may wait."""

_PAUSE: Final = 1.0  # seconds of silence after which sound begins a new utterance; a shorter hole is an underrun
_MARK_EVERY: Final = 1.0  # seconds
_TAIL_LEAVES: Final = 0.03  # seconds before its deadline that a tail stops waiting for more; the pacer has slots


class Playout:
    """The queue of one call's outgoing sound. Times are seconds on one monotonic clock.

    Args:
        encode: int16 samples to payload, called once for each message, as it leaves.
        sample_rate: Of all samples, in Hz.
        here: Tells where the caller's channel stands, in samples at this playout's rate.
        ledger: Where the utterances are accounted for.
        lead: Seconds that a message may leave before its deadline; above 0.
        message: Seconds of sound in one message at most, where more than 20 ms waits; whole 20 ms.
        spacing: Seconds between two messages at least.
        phase: Where in each 20 ms the sound of this call leaves that has to wait; None: as soon as it may.
        max_queued: Seconds of sound that may wait here; what is pushed beyond it is dropped and counted.
        on_drop: Told once, as the first sample is dropped.

    Attributes:
        queue: What waits to leave. Whoever adds to it calls `pop` then.
        paused: Nothing leaves.
    """

    __slots__ = (
        "_begun",
        "_ear",
        "_encode",
        "_flight",
        "_frame",
        "_grid",
        "_here",
        "_lead",
        "_ledger",
        "_mark_every",
        "_marked",
        "_marks",
        "_next_message",
        "_phase",
        "_spacing",
        "_tail_until",
        "_withdrawn",
        "paused",
        "queue",
        "samples_cleared",
        "underruns",
    )

    def __init__(
        self,
        encode: Callable[[Samples], bytes],
        sample_rate: int,
        *,
        here: Callable[[], int],
        ledger: PlaybackLedger,
        lead: float,
        message: float = FRAME_SECONDS,
        spacing: float = 0.0,
        phase: float | None = None,
        max_queued: float = MAX_QUEUED,
        on_drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._frame = round(sample_rate * FRAME_SECONDS)
        self.queue = UtteranceQueue(
            sample_rate,
            frame=self._frame,
            message=self._frame * round(message / FRAME_SECONDS),
            max_queued=max_queued,
            on_drop=on_drop,
        )
        self.paused = False
        self.samples_cleared = 0
        self.underruns = 0
        self._encode = encode
        self._here = here
        self._ledger = ledger
        self._ear = ledger.ear
        self._begun = ledger.begun
        self._lead = lead
        self._spacing = spacing
        self._mark_every = round(sample_rate * _MARK_EVERY)
        self._phase = phase
        self._grid = min(FRAME_SECONDS, lead / 2)  # to wait for a tick costs at most half of the lead
        self._flight = Flight(sample_rate)
        self._withdrawn = 0  # samples that left and are not on that line any more
        self._marked = 0  # place of the last mark
        self._marks = 0
        self._next_message = -np.inf  # for the spacing
        self._tail_until = -np.inf  # when a tail shorter than a frame stops waiting for more, even if it is not due

    @property
    def in_flight(self) -> list[Piece]:
        """What left and was not handed out by `heard` yet, in the order of the deadlines."""
        return self._flight.pieces()

    @property
    def frames_sent(self) -> int:
        """Pieces of 20 ms that went to the wire."""
        return (self._sent + self._withdrawn) // self._frame

    # --- what leaves ----------------------------------------------------------------------------------------------

    def flow(self, samples: Samples, now: float) -> bytes | None:
        """Say the next 20 ms of speech as it happens: the way of an echo.

        Returns:
            The payload, to leave now; None, and nothing is done, where it is not as simple: then `push`.
        """
        if not self.queue.flowing or len(samples) != self._frame:
            return None
        flight = self._flight
        run = flight.last
        ahead = run.deadline + len(run.pcm) // flight.piece * FRAME_SECONDS - now
        if ahead > self._lead:
            return None
        if ahead < 0.0:
            if ahead <= -_PAUSE:
                return None
            self._catch_up(now, goes_on=True)
            run = flight.last
        run.pcm += samples.tobytes()
        encode = self._encode  # called as `self._encode()`, CPython 3.11 would look for a method first
        return encode(samples)

    def push(self, samples: Samples, *, now: float) -> Sequence[bytes | str]:
        """Queue speech, int16 of shape (n,), any length; a tail shorter than 20 ms waits a little for more.

        Returns:
            What is to leave now, as `pop`.
        """
        payload = self.flow(samples, now)
        if payload is not None:
            return (payload,)
        self._listen_for_silence(now)
        self.queue.say(samples)
        return self.pop(now=now, grown=True)

    def pop(self, *, now: float, grown: bool = False) -> list[bytes | str]:
        """Take what is to leave now: payloads as bytes, the names of marks as str, in order.

        Args:
            now: The present.
            grown: Sound was added: a tail of it waits 20 ms for more.
        """
        due: list[bytes | str] = []
        if grown:
            self._tail_until = now + FRAME_SECONDS
        if self.paused:
            return due
        queue = self.queue
        if not queue.queued:
            self._listen_for_silence(now)
        items = queue.items
        while items:
            head = items[0]
            if isinstance(head, str):
                items.popleft()
                due.append(self._mark(head, now))
            elif head.waiting:
                if self._playhead - self._lead > now or self._next_message > now:
                    break
                if head.waiting < self._frame and head.open and now < self._tail_leaves():
                    break
                self._leave(head, now, due)
            elif head.open:
                break
            else:
                items.popleft()
                self._end(head, now, due)
        if not queue.queued:
            queue.flow_on()
        return due

    def deadline(self) -> float | None:
        """When to call `pop` or `heard` next, minus infinity for at once; None where nothing of either is in sight."""
        leaves, settles = self._leaves(), self.settles()
        if settles is None or leaves is None:
            return leaves if settles is None else settles
        return min(leaves, settles)

    # --- what is heard --------------------------------------------------------------------------------------------

    def heard(self, *, now: float) -> list[tuple[int, Samples]]:
        """Take what was heard by now: positions and samples, in order, what is gapless in one piece.

        The accounts of utterances that are over are closed.
        """
        ear, ledger = self._ear, self._ledger
        heard = self._flight.take(ear.time(now))
        for _, samples in heard:
            ledger.heard += len(samples)
        if ear.pending or (self._begun and self._begun[0].end is not None):
            ledger.settle(now)
        return heard

    def heard_by(self, count: int) -> float:
        """When, as it looks now, the next so many pieces will have been heard, if no hole comes between them."""
        return self._ear.when(self._flight.first + (count - 1) * FRAME_SECONDS)

    def settles(self) -> float | None:
        """When `heard` can close an account, as it looks now; None while none is near its end."""
        if not self._begun or (end := self._begun[0].end) is None:
            return None
        last = (end - self._ledger.heard) // self._frame - 1
        heard = self._ear.when(self._flight.deadline_of(last)) if last >= 0 else -np.inf
        awaited = self._ear.awaits(end)
        return heard if awaited is None else max(heard, awaited)

    def progress(self, utterance: Utterance, *, now: float) -> int:
        """How many samples of an utterance that is not over were heard by now."""
        if utterance.start is None:
            return 0
        time = self._ear.time(now)
        heard = self._ledger.heard + self._frame * self._flight.count(time)
        return max(0, min(heard, self._sent if utterance.end is None else utterance.end) - utterance.start)

    # --- what is taken away ---------------------------------------------------------------------------------------

    def utterances(self) -> list[Utterance]:
        """All that are not over, in order."""
        return [*self._begun, *(one for one in self.queue.utterances if one.start is None)]

    def clear(self) -> list[str]:
        """Forget all sound that was not heard yet; call `heard` first.

        Returns:
            The marks that had not left.
        """
        marks = self.queue.marks
        self._ear.clear(self._ledger.heard)
        self.finish()
        return marks

    def finish(self, *, played_out: bool = False) -> None:
        """Close all accounts; call `heard` first.

        Args:
            played_out: What is in flight counts as heard all the same, as nobody can take it away.
        """
        if played_out:
            self._ledger.heard = self._sent
            self._flight.clear()
        for utterance in self.utterances():
            self.samples_cleared += self._ledger.cut_off(utterance, self._sent, assumed=played_out)
        self.queue.clear()
        self._withdraw()

    def cancel(self, utterance: Utterance) -> bool:
        """Forget one utterance that is not over; call `heard` first.

        Returns:
            Whether some of it left: then call `take_back`, which takes back what is behind it.
        """
        left = utterance in self._begun
        self.queue.discard(utterance)
        self.samples_cleared += self._ledger.cut_off(utterance, self._sent)
        return left

    def take_back(self) -> None:
        """Queue what left and was not heard, to be sent anew; call `heard` first, and have the carrier clear."""
        heard = self._ledger.heard
        pieces = [piece.samples for piece in self.in_flight]
        marks = deque(self._ear.take_back(heard))
        if self.queue.items and self.queue.items[0] in self._begun:
            self.queue.items.popleft()  # it stands before the others again in a moment
        front: list[Utterance | str] = []
        again = 0
        for utterance in tuple(self._begun):
            start, end = utterance.start, self._sent if utterance.end is None else utterance.end
            assert start is not None
            if end <= heard and utterance.end is not None:
                continue  # heard to its end
            while marks and marks[0][0] <= start:
                front.append(marks.popleft()[1])
            again += utterance.take_back(
                pieces[(max(start, heard) - heard) // self._frame : (end - heard) // self._frame]
            )
            front.append(utterance)
            if start >= heard:  # none of it was heard: it begins once more
                utterance.start = None
                self._begun.remove(utterance)
        front.extend(name for _, name in marks)
        self.queue.put_back(front, again)
        self._withdraw()

    def lose(self) -> None:
        """The carrier's socket is gone: what is in flight is left to be heard, its marks are to be sent on another."""
        self.queue.put_back(self._ear.lose(), 0)

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _sent(self) -> int:
        """Place on the ledger's line behind all that was sent."""
        return self._ledger.heard + self._flight.samples

    @property
    def _playhead(self) -> float:
        """Deadline of the next piece, unless that has passed."""
        return self._flight.playhead

    def _leave(self, utterance: Utterance, now: float, due: list[bytes | str]) -> None:
        """Let the next message of an utterance leave, with the marks around it."""
        samples = self.queue.take(utterance)
        begins = utterance.start is None
        if begins:
            self._ledger.begin(utterance, self._sent)
            if utterance is not self.queue.speech:
                due.append(self._mark(self._own_mark(), now))
        if now > self._playhead:
            self._catch_up(now, goes_on=not begins)
        self._flight.add(samples)
        if self._spacing:
            self._next_message = now + self._spacing
        due.append(utterance.file if begins and utterance.file is not None else self._encode(samples))
        if self._sent - self._marked >= self._mark_every:
            due.append(self._mark(self._own_mark(), now))

    def _end(self, utterance: Utterance, now: float, due: list[bytes | str]) -> None:
        """All of an utterance has left."""
        if utterance.start is None:
            self._ledger.begin(utterance, self._sent)  # there was no sound in it
        elif not (self.queue.items and isinstance(self.queue.items[0], str)):
            due.append(self._mark(self._own_mark(), now))
        utterance.end = self._sent

    def _catch_up(self, now: float, *, goes_on: bool) -> None:
        """The deadline has passed, so what leaves is due now: behind a hole, where it goes on with an utterance."""
        if goes_on and FRAME_SECONDS < now - self._playhead < _PAUSE:
            self.underruns += 1
        self._flight.begin(now, max(self._flight.position, self._here()))

    def _leaves(self) -> float | None:
        """When the head of the queue leaves or ends."""
        if self.paused or not self.queue.items:
            return None
        head = self.queue.items[0]
        leaves = self._playhead - self._lead
        if isinstance(head, str) or not (head.waiting or head.open):
            return leaves
        if not head.waiting:
            return self._playhead + _PAUSE if head is self.queue.speech else None
        if head.open and head.waiting < self._frame:
            return self._tail_leaves()
        leaves = max(leaves, self._next_message)
        if self._phase is None or leaves == -np.inf:
            return leaves
        return leaves + (self._phase - leaves) % self._grid

    def _tail_leaves(self) -> float:
        return max(self._tail_until, self._playhead - min(self._lead, _TAIL_LEAVES))

    def _listen_for_silence(self, now: float) -> None:
        """Let a long pause end the speech."""
        speech = self.queue.speech
        if speech is not None and not speech.waiting and now >= self._playhead + _PAUSE:
            self.queue.close(speech)

    def _mark(self, name: str, now: float) -> str:
        """Let a mark leave: it comes back when what left before it was played, or at once if that is over."""
        self._ear.mark_sent(name, self._sent, max(now, self._playhead))
        self._marked = self._sent
        return name

    def _own_mark(self) -> str:
        self._marks += 1
        return f"{OWN_MARK}{self._marks}"

    def _withdraw(self) -> None:
        """What is in flight was never sent."""
        self._withdrawn += self._flight.samples
        self._flight.clear()
        self._marked = min(self._marked, self._sent)
