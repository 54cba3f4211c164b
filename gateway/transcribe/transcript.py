"""From what a service has heard to the segments that everybody is told."""

import msgspec

from gateway.media.frame import FrameTrack
from gateway.sinks.base import StreamInfo
from gateway.transcribe.outbox import SessionClock
from gateway.transcribe.segment import Segment, Word
from gateway.transcribe.service import Heard

__all__ = ["Transcript"]

_MAX_TEXT = 20_000  # characters of one segment; nobody says that much without a pause


class Transcript:
    """Publishes what is heard on one track of one stream.

    Args:
        info: The stream.
        transcriber: The name of who hears.
        track: What is listened to.

    Attributes:
        finals: Segments that stay.
        partials: Segments that were replaced, or may be.
        repeated: Finals that were dropped, as their sound was understood before.
    """

    def __init__(self, info: StreamInfo, transcriber: str, track: FrameTrack) -> None:
        self.finals = 0
        self.partials = 0
        self.repeated = 0
        self._info = info
        self._transcriber = transcriber
        self._track: FrameTrack = track

    def tell(self, segment: Segment) -> None:
        """Publish a segment."""
        if segment.final:
            self.finals += 1
        else:
            self.partials += 1
        self._info.publish(segment.event_type, segment.describe())

    def heard(self, heard: Heard, clock: SessionClock, *, said_before: float) -> None:
        """Take what a service says.

        Args:
            heard: On the service's time.
            clock: Tells the media's.
            said_before: What ends here or before, in seconds on media time, was told on an earlier connection.
        """
        text = heard.text.strip()[:_MAX_TEXT]
        start, end = clock.media(heard.start), clock.media(heard.end, end=True)
        if end <= said_before:
            self.repeated += heard.final and bool(text)
            return
        if text:
            words = [_placed(word, clock) for word in heard.words]
            self.tell(
                Segment(
                    text=text,
                    start=min(start, end),
                    end=end,
                    final=heard.final,
                    track=self._track,
                    confidence=heard.confidence,
                    words=words,
                    transcriber=self._transcriber,
                )
            )


def _placed(word: Word, clock: SessionClock) -> Word:
    return msgspec.structs.replace(word, start=clock.media(word.start), end=clock.media(word.end, end=True))
