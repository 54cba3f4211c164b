"""The application's voice in one call: from samples at any rate to messages on the wire, and to the sinks as heard."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from audio_codecs import Codec, Samples
from gateway.errors import PlaybackError
from gateway.media.ear import OWN_MARK
from gateway.media.flight import FRAME_SECONDS
from gateway.media.frame import AudioFrame
from gateway.media.playback import PlaybackLedger
from gateway.media.playout import Playout
from gateway.media.resample import Resampler
from gateway.media.utterance import Utterance
from gateway.protocol.messages import MAX_MARK_NAME
from gateway.protocol.stream import MediaStream, media_message
from gateway.sound.file import SoundFile

__all__ = ["Player"]

_MAX_MARKS: Final = 1000
_MAX_UTTERANCES: Final = 100
_HEARD_AT_ONCE: Final = 5  # pieces: five of them in one frame cost the sinks little more than one
_HEAR_AGAIN: Final = (_HEARD_AT_ONCE - 1) * FRAME_SECONDS
_MP3_SPACING: Final = 1.1  # seconds: Telnyx takes one file a second, and may get the first later than it left
_MP3_MESSAGE: Final = 3600.0  # seconds: a whole file
_ONE_PACKET_A_MESSAGE: Final = ("OPUS", "AMR-WB")
"""Codecs whose packets tell their own length: two of them in one message would be read as one."""


class Player:
    """Sends sound, marks and `clear` on one stream, each in its time.

    Args:
        stream: Makes the messages.
        codec: Of what is sent.
        transmit: Puts a message on the wire.
        here: Tells where the caller's channel stands, in samples at the codec's rate.
        on_finished: Told of each utterance that is over.
        on_drop: Told once, as the first sample is dropped, since ten minutes wait already.
        lead: Seconds that sound may leave before it is to be heard.
        message: Seconds of sound in one message at most, where more than 20 ms waits.
        phase: Where in each 20 ms waiting sound leaves.

    Attributes:
        sample_rate: Of what is sent, in Hz.
        takes_files: The stream is in the mode `mp3`: whole files are sent, by `add_file`, and nothing else.
        hear_at: When it is worth while to ask for `heard_enough` again.
        transmit: As given, or that of the socket that the call goes on with.
    """

    __slots__ = (
        "_ledger",
        "_lost",
        "_paused",
        "_playout",
        "_queue",
        "_resamplers",
        "_stream",
        "hear_at",
        "sample_rate",
        "takes_files",
        "transmit",
    )

    def __init__(
        self,
        stream: MediaStream,
        codec: Codec,
        *,
        transmit: Callable[[bytes], None],
        here: Callable[[], int],
        on_finished: Callable[[Utterance], None] = lambda utterance: None,
        on_drop: Callable[[], None] = lambda: None,
        lead: float,
        message: float = FRAME_SECONDS,
        phase: float | None = None,
    ) -> None:
        self.sample_rate = codec.sample_rate
        self.takes_files = codec.encoding == "MP3"
        if self.takes_files:
            message = _MP3_MESSAGE
        elif codec.encoding in _ONE_PACKET_A_MESSAGE:
            message = FRAME_SECONDS
        self._stream = stream
        self.transmit = transmit
        self._ledger = PlaybackLedger(codec.sample_rate, on_finished=on_finished)
        self._playout = Playout(
            codec.encode,
            codec.sample_rate,
            here=here,
            ledger=self._ledger,
            lead=lead,
            message=message,
            spacing=_MP3_SPACING if self.takes_files else 0.0,
            phase=phase,
            on_drop=on_drop,
        )
        self._queue = self._playout.queue
        self.hear_at = -math.inf
        self._resamplers: dict[int, Resampler] = {}
        self._paused = False  # by the application
        self._lost = False  # there is no socket

    # --- what is said ---------------------------------------------------------------------------------------------

    def flow(self, samples: Samples, sample_rate: int | None, now: float) -> bool:
        """Say the next 20 ms of speech as it happens, fifty times a second; see `Playout.flow`.

        Returns:
            Whether that was all there was to do; else nothing is done, and it is for `send_audio`.
        """
        if sample_rate != self.sample_rate and sample_rate is not None:
            return False
        payload = self._playout.flow(samples, now)
        if payload is None:
            return False
        transmit = self.transmit  # called as `self.transmit()`, CPython 3.11 would look for a method first
        transmit(media_message(payload))
        return True

    def send_audio(self, samples: Samples, sample_rate: int | None, now: float) -> None:
        """Say something: int16, shape (n,), any length, at the stream's own rate if None.

        Raises:
            PlaybackError: The stream takes files only.
        """
        if sample_rate is not None and sample_rate != self.sample_rate:
            resampler = self._resamplers.get(sample_rate)
            if resampler is None:
                resampler = self._resamplers[sample_rate] = Resampler(sample_rate, self.sample_rate)
            samples = resampler.push(samples)
        if self.takes_files:
            raise PlaybackError("the stream is in the mode mp3, which takes whole files: use play")
        self._send(self._playout.push(samples, now=now))

    def open(self, utterance: Utterance, *, now: float) -> None:
        """Queue an utterance behind what was said before; there it stays until it is closed.

        Raises:
            PlaybackError: Too many wait.
        """
        if len(self._queue.utterances) >= _MAX_UTTERANCES:
            raise PlaybackError(f"{_MAX_UTTERANCES} utterances wait to be said already")
        self._queue.open(utterance)
        self.send_due(now=now)

    def add(self, utterance: Utterance, samples: Samples, *, now: float) -> bool:
        """Give an utterance more sound, at the stream's rate. Returns whether its source may go on at once."""
        self._queue.add(utterance, samples)
        self._send(self._playout.pop(now=now, grown=True))
        return self._queue.has_room(utterance)

    def add_file(self, utterance: Utterance, file: SoundFile, *, now: float) -> None:
        """Give an utterance all of its sound."""
        utterance.file = file.octets
        self.add(utterance, file.samples, now=now)

    def close(self, utterance: Utterance, *, error: str | None = None, now: float) -> None:
        """There is no more of an utterance; `error` says why that was sooner than expected."""
        if utterance.finished is None:
            utterance.error = error
            self._queue.close(utterance)
            self.send_due(now=now)

    def end_speech(self, *, now: float) -> None:
        """What is said next is another utterance."""
        self._queue.end_speech()
        self.send_due(now=now)

    def mark(self, name: str, *, now: float) -> None:
        """Queue a mark behind all that was said so far.

        Raises:
            PlaybackError: The name begins as the gateway's own marks do, or is too long, or too many wait.
        """
        if len(name) > MAX_MARK_NAME:
            raise PlaybackError(f"the name of a mark has {len(name)} characters, want {MAX_MARK_NAME} at most")
        if name.startswith(OWN_MARK):
            raise PlaybackError(f"the name of a mark begins with {OWN_MARK!r}, which is for the gateway's own")
        if len(self._queue.marks) >= _MAX_MARKS:
            raise PlaybackError(f"{_MAX_MARKS} marks wait for their sound already")
        self._queue.push_mark(name)
        self.send_due(now=now)

    # --- what is taken away; each wants `heard` called first ------------------------------------------------------

    def clear(self, *, now: float) -> None:
        """Drop what is queued here and at Telnyx; ends a pause. Telnyx returns all marks, and so those that wait."""
        marks = self._playout.clear()
        for resampler in self._resamplers.values():
            resampler.reset()
        self.transmit(self._stream.send_clear())
        self._paused = False
        for name in marks:
            self._queue.push_mark(name)
        self._go_on(now)

    def pause(self) -> None:
        """Fall silent; what was not heard is queued again.

        Raises:
            PlaybackError: The stream takes files only, and there are no halves of them.
        """
        if self.takes_files:
            raise PlaybackError("the stream is in the mode mp3, in which nothing can be paused")
        if not self._paused:
            self._paused = self._playout.paused = True
            self._take_back()

    def resume(self, *, now: float) -> None:
        """Go on with what was not heard."""
        self._paused = False
        self._go_on(now)

    def cancel(self, utterance: Utterance, *, now: float) -> None:
        """Drop what was not heard of one utterance; the others go on."""
        if utterance.finished is not None or (utterance.end is not None and utterance.end <= self._ledger.heard):
            return
        if self._playout.cancel(utterance):
            self._take_back()
        self.send_due(now=now)

    def link_lost(self) -> None:
        """Keep everything: the socket is gone. What was sent is left to be heard, and counts as that by estimate."""
        self._lost = self._playout.paused = True
        self._playout.lose()

    def reconnect(self, stream: MediaStream, transmit: Callable[[bytes], None], *, now: float) -> None:
        """Go on with the next socket of the call. Marks that did not come back on the last one are sent again."""
        if not self._lost:
            self.link_lost()
        self._stream = stream
        self.transmit = transmit
        self._lost = False
        self._go_on(now)

    def finish(self, *, played_out: bool) -> None:
        """Close all accounts, as the stream has ended; see `Playout`."""
        self._playout.finish(played_out=played_out)

    # --- what becomes of it ---------------------------------------------------------------------------------------

    def mark_returned(self, name: str, *, now: float) -> bool:
        """Take a mark that came back. Returns whether it is the application's, to be told."""
        return self._ledger.ear.mark_returned(name, now=now)

    def send_due(self, *, now: float) -> None:
        """Send what is to leave by now."""
        self._send(self._playout.pop(now=now))

    def deadline(self) -> float | None:
        """When to call `send_due` and `heard_enough` next, minus infinity for at once; None while all is done."""
        return self._playout.deadline()

    def heard(self, *, now: float) -> list[AudioFrame]:
        """Take the sound that was heard by now, as `played` frames on the call's time line, each gapless."""
        playout = self._playout
        frames = []
        for position, samples in playout.heard(now=now):
            frames.append(AudioFrame("played", samples, self.sample_rate, position))
        # Where nothing is in flight, what leaves next will not have been heard sooner than this.
        self.hear_at = max(playout.heard_by(_HEARD_AT_ONCE), now + _HEAR_AGAIN)
        return frames

    def heard_enough(self, *, now: float) -> Sequence[AudioFrame]:
        """The same, when there is enough of it, or when an account can be closed."""
        if now < self.hear_at:
            settles = self._playout.settles()
            if settles is None or settles > now:
                return ()
        return self.heard(now=now)

    def progress(self, utterance: Utterance, *, now: float) -> int:
        """How many milliseconds of an utterance were heard by now."""
        if utterance.finished is not None:
            return utterance.finished.heard
        return self._ledger.milliseconds(self._playout.progress(utterance, now=now))

    def utterances(self) -> list[Utterance]:
        """All that are not over, in order."""
        return self._playout.utterances()

    def describe(self) -> dict[str, Any]:
        """Counters and the playback ledger as JSON-ready values."""
        playout, queue = self._playout, self._queue
        return {
            "frames_sent": playout.frames_sent,
            "samples_queued": queue.queued,
            "samples_cleared": playout.samples_cleared,
            "samples_dropped": queue.samples_dropped,
            "underruns": playout.underruns,
        } | self._ledger.describe()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _send(self, due: Sequence[bytes | str]) -> None:
        for item in due:
            if isinstance(item, bytes):
                self.transmit(self._stream.send_media(item))
            else:
                self.transmit(self._stream.send_mark(item))

    def _go_on(self, now: float) -> None:
        self._playout.paused = self._paused or self._lost
        self.send_due(now=now)

    def _take_back(self) -> None:
        self._playout.take_back()
        self.transmit(self._stream.send_clear())
