"""The two ends of one media stream, without I/O and without a clock: text in, events out; words in, text out.

The application's end, `MediaStream`, is a small state machine:

    OPENING --connected--> CONNECTED --start--> STREAMING --stop--> STOPPED
       '-----------------------start----------------^

Telnyx always says `connected` first; a `start` without it is taken as well, since nothing is lost by it. Sound, keys
and marks belong to STREAMING alone. What comes in the wrong state raises `RemoteProtocolError` and changes nothing:
the stream goes on as if the message had not come, and whoever drives it decides how many of those are too many.

On a `dial` with `stream_url` the socket opens while the phone still rings, and `start` comes with the answer (or
never: then Telnyx just drops the socket). So there are two deadlines, a short one for the first message and a long
one for `start`.

The carrier's end, `CarrierStream`, has no states of its own: it says what it is told to, numbers it, and reads the
three messages that an application may send. The simulator plays it.
"""

import enum
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from gateway.errors import LocalProtocolError, RemoteProtocolError
from gateway.protocol.messages import (
    AUTH_FIELD,
    ERROR_TITLES,
    ApplicationMessage,
    CarrierMessage,
    Clear,
    Connected,
    Dtmf,
    DtmfBody,
    Error,
    ErrorBody,
    Mark,
    MarkBody,
    MarkReached,
    Media,
    MediaBody,
    Number,
    Start,
    StartBody,
    Stop,
    StopBody,
    Track,
    UnknownEvent,
    decode_application,
    decode_carrier,
    encode,
)

__all__ = ["TRACKS", "CarrierStream", "Event", "MediaReceived", "MediaStream", "State", "media_message"]


class State(enum.Enum):
    """Where one media stream stands, seen from the application."""

    OPENING = "opening"
    CONNECTED = "connected"
    STREAMING = "streaming"
    STOPPED = "stopped"


class MediaReceived(msgspec.Struct, frozen=True, gc=False):
    """The audio of one `media` message: an RTP payload without its header."""

    track: Track  # whose sound it is, in the carrier's sense
    sequence_number: int  # order on this WebSocket, shared by all kinds of messages; `start` has 1
    chunk: int  # order of the audio; whether it counts per track or per stream is not documented
    timestamp: Number  # opaque, as it came: its unit is not documented
    payload: bytes  # in the codec that `start` announced; may be empty


Event: TypeAlias = Connected | Start | MediaReceived | Dtmf | MarkReached | Stop | Error
"""What `MediaStream.receive_message` can return, beside None for an unknown message."""

TRACKS: Final[Mapping[str, Track]] = {
    "inbound": "inbound",
    "outbound": "outbound",
    "inbound_track": "inbound",
    "outbound_track": "outbound",
}
"""The tracks by what they are called on the wire."""

_CLEAR = encode(Clear())


def media_message(payload: bytes) -> bytes:
    """The text that has sound played; fifty a second leave, so it is not made of objects. See `MediaStream`."""
    return b'{"event":"media","media":{"payload":"%b"}}' % b2a_base64(payload, newline=False)


class MediaStream:
    """The application's end of one media stream.

    Args:
        now: The present, in seconds of the clock that all later times are on.
        connect_timeout: Seconds from `now` until the first message must have come.
        start_timeout: Seconds from that message until `start` must have come.
    """

    __slots__ = ("_deadline", "_start_timeout", "messages_unknown", "state", "stream_id")

    def __init__(self, *, now: float, connect_timeout: float = 10.0, start_timeout: float = 60.0) -> None:
        self.state = State.OPENING
        self.stream_id = ""
        self.messages_unknown = 0
        self._start_timeout = start_timeout
        self._deadline: float | None = now + connect_timeout

    def receive_message(self, text: str | bytes, *, now: float) -> Event | None:
        """Take one message from Telnyx.

        Args:
            text: The whole text of one WebSocket message.
            now: The present, in seconds.

        Returns:
            The event, or None for a message of an unknown kind, which is counted.

        Raises:
            RemoteProtocolError: The text is no message, or not one that is allowed now; the state is unchanged.
        """
        return self.take(decode_carrier(text), now=now)

    def take(self, message: CarrierMessage | UnknownEvent, *, now: float) -> Event | None:
        """The same for a message that has been read already."""
        match message, self.state:
            case Media(media=body), State.STREAMING:
                track = TRACKS[body.track]
                return MediaReceived(track, message.sequence_number, body.chunk, body.timestamp, body.payload)
            case UnknownEvent(), _:
                self.messages_unknown += 1
                return None
            case Connected(), State.OPENING:
                self.state = State.CONNECTED
                self._deadline = now + self._start_timeout
            case Start(), State.OPENING | State.CONNECTED:
                self.stream_id = message.stream_id
                self.state = State.STREAMING
                self._deadline = None
            case Dtmf() | MarkReached(), State.STREAMING:
                pass
            case Stop(), State.STREAMING | State.CONNECTED:
                self.state = State.STOPPED
                self._deadline = None
            case Error(), State.OPENING | State.CONNECTED | State.STREAMING:
                pass
            case _:
                name = type(message).__name__.lower()
                raise RemoteProtocolError(f"{name!r} is not allowed while {self.state.value}")
        return message

    def deadline(self) -> float | None:
        """When `overdue` becomes true, on the clock of `now`; None once the stream has started."""
        return self._deadline

    def overdue(self, *, now: float) -> bool:
        """Whether Telnyx let a deadline pass without the message that was due."""
        return self._deadline is not None and now >= self._deadline

    def send_media(self, payload: bytes) -> bytes:
        """Sound to be played: codec octets, at least 20 ms and at most 30 s of them."""
        if self.state is not State.STREAMING:
            self._must_stream("media")
        return media_message(payload)

    def send_mark(self, name: str) -> bytes:
        """Ask to be told when everything sent so far was played."""
        self._must_stream("mark")
        return encode(Mark(MarkBody(name)))

    def send_clear(self) -> bytes:
        """Drop everything that was sent and not yet played."""
        self._must_stream("clear")
        return _CLEAR

    def _must_stream(self, what: str) -> None:
        if self.state is not State.STREAMING:
            raise LocalProtocolError(f"{what!r} cannot be sent while {self.state.value}")


class CarrierStream:
    """Telnyx's end of one media stream: makes its messages, numbered, and reads the application's.

    Args:
        stream_id: A UUID, upper case as Telnyx writes it.
        start: What the `start` message will say.
        token: The stream's token, repeated in `connected`.
        first_chunk: Number of the first chunk.
        chunks_by_track: Whether each track counts its chunks, or all count together: it is not documented.
    """

    def __init__(
        self,
        stream_id: str,
        start: StartBody,
        *,
        token: str | None = None,
        first_chunk: int = 1,
        chunks_by_track: bool = True,
    ) -> None:
        self.stream_id = stream_id
        self._start = start
        self._token = token
        self._sequence_number = 0
        self._chunks: dict[Track | None, int] = {"inbound": first_chunk, "outbound": first_chunk, None: first_chunk}
        self._chunks_by_track = chunks_by_track

    def receive_message(self, text: str | bytes) -> ApplicationMessage | UnknownEvent:
        """Take one message from the application.

        Raises:
            RemoteProtocolError: The text is no message of an application; Telnyx answers with an `error` message.
        """
        return decode_application(text)

    def send_connected(self) -> bytes:
        """The greeting; the only message without a number."""
        token = None if self._token is None else {AUTH_FIELD: self._token}
        return encode(Connected(version="1.0.0", connected=token))

    def send_start(self) -> bytes:
        """Which call this is and what its payloads hold."""
        return encode(Start(sequence_number=self._next(), stream_id=self.stream_id, start=self._start))

    def send_media(self, track: Track, payload: bytes, *, timestamp: int) -> bytes:
        """One packet of sound; `timestamp` counts from `start`, mostly in milliseconds: its unit is not documented."""
        counter = track if self._chunks_by_track else None
        body = MediaBody(track, str(self._chunks[counter]), str(timestamp), payload)
        self._chunks[counter] += 1
        return encode(Media(self._next(), self.stream_id, body))

    def send_dtmf(self, digit: str, *, occurred_at: str) -> bytes:
        """A key was pressed; `occurred_at` is ISO 8601 with microseconds."""
        return encode(
            Dtmf(
                sequence_number=self._next(),
                stream_id=self.stream_id,
                occurred_at=occurred_at,
                dtmf=DtmfBody(digit),
            )
        )

    def send_mark(self, name: str) -> bytes:
        """What the application marked was played, or cleared."""
        return encode(MarkReached(self._next(), self.stream_id, MarkBody(name)))

    def send_stop(self) -> bytes:
        """The stream ends."""
        body = StopBody(user_id=self._start.user_id, call_control_id=self._start.call_control_id)
        return encode(Stop(sequence_number=self._next(), stream_id=self.stream_id, stop=body))

    def send_error(self, code: int, detail: str) -> bytes:
        """The application's message was no good; `code` is one of `ERROR_TITLES`."""
        return encode(Error(stream_id=self.stream_id, payload=ErrorBody(code, ERROR_TITLES[code], detail)))

    def _next(self) -> str:
        self._sequence_number += 1
        return str(self._sequence_number)
