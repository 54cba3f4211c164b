"""The playback ledger: what became of each utterance, how much was queued, sent, heard and cleared.

Everything that was sent in a call stands on one line, counted in samples: an utterance has its `start` and its `end` on
it, and so has the ear. What is taken back leaves the line again, as if it had never been sent.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from gateway.media.ear import Ear
from gateway.media.utterance import Utterance

__all__ = ["PlaybackFinished", "PlaybackLedger"]

_MAX_ENTRIES: Final = 100


class PlaybackFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An utterance is over: a play, or what was said up to a mark, a play or a pause. Milliseconds.

    Attributes:
        name: Of the play, or one of the gateway's for what was said by `send_audio`.
        queued: How much sound there was, with the silence that filled it up to whole 20 ms.
        sent: How much of it went to Telnyx.
        heard: How much of it was heard.
        cleared: How much of it was taken away before it was heard.
        interrupted: Whether it was cut off, or its source failed.
        estimated: No mark bears `heard` out: it is by the gateway's own clock.
        error: Why there is no more of it, where its source failed.
    """

    name: str
    queued: int
    sent: int
    heard: int
    cleared: int
    interrupted: bool
    estimated: bool
    error: str | None = None


class PlaybackLedger:
    """What became of the utterances of one call.

    Args:
        sample_rate: Of all places and lengths, in Hz.
        on_finished: Told of each utterance that is over.
        max_entries: How many of them are kept, the latest; all count in the total.

    Attributes:
        ear: How far the other end has come.
        heard: The same as a place: of all that was sent, so much is known to be heard.
        begun: The utterances that have a start and are not over, in order.
    """

    __slots__ = (
        "_entries",
        "_on_finished",
        "_sample_rate",
        "_total",
        "begun",
        "ear",
        "heard",
    )

    def __init__(
        self, sample_rate: int, *, on_finished: Callable[[Utterance], None], max_entries: int = _MAX_ENTRIES
    ) -> None:
        self.ear = Ear()
        self.heard = 0
        self.begun: deque[Utterance] = deque()
        self._sample_rate = sample_rate
        self._on_finished = on_finished
        self._entries: deque[PlaybackFinished] = deque(maxlen=max_entries)
        self._total = 0

    def begin(self, utterance: Utterance, place: int) -> None:
        """The first sample of an utterance leaves; or none, if it has none."""
        utterance.start = place
        self.begun.append(utterance)

    def settle(self, now: float) -> None:
        """Close the accounts of what was sent to its end and heard to its end."""
        self.ear.expire(now)
        while self.begun:
            utterance = self.begun[0]
            start, end = utterance.start, utterance.end
            if start is None or end is None or self.heard < end or self.ear.awaits(end) is not None:
                return
            self.begun.popleft()
            length = end - start
            self._enter(utterance, length, sent=length, heard=length, estimated=self.ear.confirmed < end)

    def cut_off(self, utterance: Utterance, sent: int, *, assumed: bool = False) -> int:
        """Close the account of an utterance as it stands.

        Args:
            utterance: One that is not over.
            sent: Place behind all that was sent.
            assumed: What it says of `heard` has not come about yet.

        Returns:
            How many of its samples are cleared.
        """
        if utterance in self.begun:
            self.begun.remove(utterance)
        waiting, start, end = utterance.drop(), utterance.start, utterance.end
        if start is None:
            self._enter(utterance, waiting, sent=0, heard=0, estimated=False)
            return waiting
        gone = (sent if end is None else end) - start
        heard = max(0, min(self.heard - start, gone))
        estimated = heard > 0 and self.ear.confirmed < start + (heard if assumed else 0)
        self._enter(utterance, waiting + gone, sent=gone, heard=heard, estimated=estimated)
        return waiting + gone - heard

    def milliseconds(self, samples: int) -> int:
        """A length in milliseconds."""
        return round(1000 * samples / self._sample_rate)

    def describe(self) -> dict[str, Any]:
        """The ledger as JSON-ready values; milliseconds."""
        return {
            "playbacks": [msgspec.structs.asdict(entry) for entry in self._entries],
            "playbacks_total": self._total,
            "playbacks_omitted": self._total - len(self._entries),
            "marks_missing": self.ear.marks_missing,
        }

    def _enter(self, utterance: Utterance, queued: int, *, sent: int, heard: int, estimated: bool) -> None:
        interrupted = heard < queued or utterance.open or utterance.error is not None
        utterance.open = False
        utterance.finished = finished = PlaybackFinished(
            name=utterance.name,
            queued=self.milliseconds(queued),
            sent=self.milliseconds(sent),
            heard=self.milliseconds(heard),
            cleared=self.milliseconds(queued - heard),
            interrupted=interrupted,
            estimated=estimated,
            error=utterance.error,
        )
        self._total += 1
        self._entries.append(finished)
        self._on_finished(utterance)
