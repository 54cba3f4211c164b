"""A streaming server of sherpa-onnx: `ws://host:6006`.

Binary audio, float32 of -1 to 1, little-endian, at the rate the server was started with; text `Done` behind the last.
There are two servers. The one in C++ (`sherpa-onnx-online-websocket-server`) tells `is_final`, `start_time` of the
segment and `timestamps` of its tokens within it, and `Done!` in the end. The one in Python (`streaming_server.py`)
tells `text` and the number of the `segment`: one is final as a message comes with the next number, or the connection
closes; where its words are is known by what was sent then.

Neither says how much it has listened to. Between the last word of a segment and its end there is silence, 1.2 s by
default: so what ends half a second behind the last token is understood, or, by the server in Python, what was sent when
the text last changed. Therefore sound that waits is not sent much faster than it was spoken.

Source: github.com/k2-fsa/sherpa-onnx, sherpa-onnx/csrc/online-websocket-server-impl.cc and
online-recognizer.cc at 040afe3, python-api-examples/streaming_server.py at 0731437. No versions, and no keys: a 401 is
that of a proxy before it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.transcribe.audio import AudioFormat
from gateway.transcribe.service import Acknowledged, Finished, Heard, Message, Request, ServiceEvent

__all__ = ["Sherpa"]


_SILENT: Final = 0.5  # seconds


class _Message(msgspec.Struct):
    text: str
    segment: int = 0
    is_final: bool | None = None  # None: the server in Python
    start_time: float = 0.0
    timestamps: list[float] = []


class Sherpa:
    """See `Service`.

    Args:
        key: There is none.
        url: Of the server.
        options: `rate`, in Hz: what the server was started with.
    """

    name = "sherpa"
    variable = None
    address = "ws://127.0.0.1:6006"
    options = ("rate",)
    waits = False
    keep_alive = float("inf")
    pace = 1.5

    def __init__(self, *, key: str, url: str, options: Mapping[str, str]) -> None:
        del key
        self._url = url
        rate = options.get("rate", "16000")
        if not (rate.isascii() and rate.isdigit() and 4000 <= int(rate[:7]) <= 192_000):
            raise ValueError(f"rate is {rate!r}, want 4000 to 192000")
        self.rate = int(rate)

    def audio_format(self, encoding: str, sample_rate: int) -> AudioFormat:
        """Always the same."""
        del encoding, sample_rate
        return AudioFormat("F32", self.rate)

    def request(self, audio: AudioFormat) -> Request:
        """The address."""
        del audio
        return Request(self._url)

    def session(self, audio: AudioFormat) -> "_Session":
        """One connection."""
        del audio
        return _Session()

    def refusal(self, code: int) -> str | None:
        """It has no such codes."""
        del code
        return None


class _Session:
    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Message)
        self._sent = 0.0
        self._segment = 0
        self._text = ""
        self._began: float | None = None  # what was sent as the segment had its first word
        self._changed = 0.0  # as its text changed for the last time, or its last token's place
        self._silent = 0.0  # seconds behind that, in which nothing is said

    def begin(self) -> Iterable[Message]:
        return ()

    def audio(self, payload: bytes, until: float) -> Message:
        self._sent = until
        return payload

    def keep_alive(self) -> None:
        return None

    def finish(self) -> Iterable[Message]:
        return ("Done",)

    def receive(self, message: Message) -> Iterable[ServiceEvent]:
        if message == "Done!":
            yield from self.closed()
            yield Finished()
            return
        told = self._decoder.decode(message)
        if told.segment != self._segment:
            yield from self.closed()
            self._segment = told.segment
        if told.text.strip() != self._text:
            self._text = told.text.strip()
            self._changed = self._sent
        if told.timestamps:
            self._changed = min(self._sent, told.start_time + told.timestamps[-1])
            self._silent = _SILENT
        if self._began is None and self._text:
            self._began = told.start_time + told.timestamps[0] if told.timestamps else self._sent
        if told.is_final:
            yield from self.closed()
        elif self._text:
            yield self._heard(final=False)

    def closed(self) -> Iterable[ServiceEvent]:
        if self._text:
            yield self._heard(final=True)
            yield Acknowledged(min(self._sent, self._changed + self._silent))
        self._text = ""
        self._began = None

    def _heard(self, *, final: bool) -> Heard:
        began = self._changed if self._began is None else self._began
        return Heard(self._text, min(began, self._changed), self._changed, final)
