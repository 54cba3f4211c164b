"""How round trips are taken: which message that comes answers which frame that was sent.

`EchoAnswers` knows a frame by the number it says, so it needs an echo that leaves the samples as they are: any of PCMU,
PCMA or L16 that changes no rate and no level, in messages of any whole number of frames. `PingAnswers` needs nothing
but a WebSocket: the far side answers a ping when it comes to read it, behind the frames that came before. For all else
that speaks there is `sound.SoundAnswers`.
"""

from typing import Final, Protocol

from gateway.bench.content import FRAME, NUMBER_BITS, Content
from gateway.bench.tally import Meter

__all__ = ["Answers", "EchoAnswers", "EchoTable", "PingAnswers"]

_MAX_PINGS: Final = 60


class Answers(Protocol):
    """One call's."""

    def frame_sent(self, number: int, now: float) -> None:
        """A frame left; `number` is its place in the loop."""

    def take_echo(self, data: bytes, begin: int, end: int, now: float) -> bool:
        """Whether the text there is one frame that was recognised; all else is read the slow way."""

    def payload_came(self, payload: bytes, now: float) -> float:
        """Take the sound of a message that was read the slow way; returns its seconds."""

    def next_ping(self, now: float) -> bytes | None:
        """What a ping is to say now; None where none is to be sent. Asked once a second."""

    def pong_came(self, payload: bytes, now: float) -> None:
        """The answer to one."""


class EchoTable:
    """Which frame of the loop a payload is; one for all calls.

    Args:
        content: Its frames must be numbered.
    """

    def __init__(self, content: Content) -> None:
        width = 2 if content.encoding == "L16" else 1
        self.key = NUMBER_BITS * width  # octets that hold the number
        self.key_text = self.key // 3 * 4  # the same in base64
        self.frame = len(content.payloads[0])
        self.frame_text = len(content.texts[0])
        self.texts = {text[: self.key_text]: n for n, text in enumerate(content.texts)}
        self.octets = {payload[: self.key]: n for n, payload in enumerate(content.payloads)}


class EchoAnswers:
    """Each frame is a question, and the same frame is its answer.

    Args:
        table: Of what is said.
        meter: Counts.
    """

    def __init__(self, table: EchoTable, meter: Meter) -> None:
        self._table = table
        self._texts, self._key_text, self._frame_text = table.texts, table.key_text, table.frame_text
        self._meter = meter
        self._sent_at = [0.0] * len(table.texts)

    def frame_sent(self, number: int, now: float) -> None:
        """A frame left."""
        self._sent_at[number] = now
        self._meter.asked(now)

    def take_echo(self, data: bytes, begin: int, end: int, now: float) -> bool:
        """Whether the text is one frame that was recognised: three searches and a look into a table."""
        at = data.find(b'"', data.find(b'"payload"', begin, end) + 9, end) + 1
        number = self._texts.get(data[at : at + self._key_text])
        if number is None or data.find(b'"', at, end) != at + self._frame_text:
            return False
        self._came(number, now)
        return True

    def payload_came(self, payload: bytes, now: float) -> float:
        """Take a message of any number of frames."""
        table = self._table
        found = False
        for at in range(0, len(payload) - table.frame + 1, table.frame):
            number = table.octets.get(payload[at : at + table.key])
            if number is not None:
                found = True
                self._came(number, now)
        self._meter.tally.foreign += not found
        return len(payload) / table.frame * FRAME

    def next_ping(self, now: float) -> bytes | None:
        """None."""
        return None

    def pong_came(self, payload: bytes, now: float) -> None:
        """None was asked for."""

    def _came(self, number: int, now: float) -> None:
        sent_at = self._sent_at[number]
        if sent_at:
            self._sent_at[number] = 0.0
            self._meter.answered(sent_at, now)
        else:
            self._meter.tally.doubled += 1


class PingAnswers:
    """Each ping is a question, and its pong the answer; of what is said nothing is expected.

    Args:
        content: What is said.
        meter: Counts.
    """

    def __init__(self, content: Content, meter: Meter) -> None:
        self._frame = len(content.payloads[0])
        self._meter = meter
        self._number = 0
        self._sent_at: dict[bytes, float] = {}

    def frame_sent(self, number: int, now: float) -> None:
        """Nothing comes back for it."""

    def take_echo(self, data: bytes, begin: int, end: int, now: float) -> bool:
        """It is no echo."""
        return False

    def payload_came(self, payload: bytes, now: float) -> float:
        """Any answer will do."""
        return len(payload) / self._frame * FRAME

    def next_ping(self, now: float) -> bytes | None:
        """Count the pings; a far side that answers none is not asked for ever."""
        self._number += 1
        payload = b"%d" % self._number
        self._meter.asked(now)
        if len(self._sent_at) < _MAX_PINGS:
            self._sent_at[payload] = now
        return payload

    def pong_came(self, payload: bytes, now: float) -> None:
        """Look up the question."""
        sent_at = self._sent_at.pop(payload, None)
        if sent_at is not None:
            self._meter.answered(sent_at, now)
