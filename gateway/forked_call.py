"""One forked call: both its directions as RTP, its sinks, its life.

To a sink it looks like a streamed call: `inbound` and `outbound` frames on one time line, the same `StreamInfo`, the
same report. There is no way to speak in it. Its time line begins with the first packet of sound in either direction;
the other direction begins where its first packet came.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from structlog.typing import FilteringBoundLogger

from audio_codecs import Codec
from gateway.call import EndReason
from gateway.errors import DatagramError
from gateway.items import Dtmf
from gateway.mailbox import Mailbox
from gateway.media.frame import AudioFrame
from gateway.media.ledger import GapLedger
from gateway.media.pacer import Pacer
from gateway.media.receiver import totals
from gateway.media.rtp_receiver import RtpReceiver
from gateway.media.rtp_source import Address
from gateway.protocol.messages import Track
from gateway.protocol.rtp import RtpFormat, parse_rtp
from gateway.sinks.base import SinkSource, StreamInfo, publisher
from gateway.sinks.events import SinkEvent, event_type_of
from gateway.sinks.fanout import FanOut
from gateway.sinks.services import SinkServices
from gateway.weakly import weakly

__all__ = ["ForkItem", "ForkOptions", "ForkedCall"]

ForkItem: TypeAlias = AudioFrame | Dtmf
"""What `async for item in call` gives."""

_MAILBOX_ITEMS: Final = 500
_TICK: Final = 0.5  # seconds between two looks at what did not come
_TRACKS: Final[tuple[Track, Track]] = ("inbound", "outbound")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkOptions:
    """What is the same for all forked calls. Seconds.

    Attributes:
        sinks: What makes the sinks of each call, by name.
        sink_services: What the sinks of all calls share.
        reorder_window: How long a gap waits for the packets that belong there.
        start_timeout: How long the first packet of sound may take.
        silence_timeout: How long no packet may come at all, of either direction.
        max_duration: Longest fork.
        publish: Tells an event of a call, by its `call_control_id`, to everybody who follows it; must not raise.
    """

    sinks: Mapping[str, SinkSource]
    sink_services: SinkServices | None = None
    reorder_window: float = 0.06
    start_timeout: float = 60.0
    silence_timeout: float = 30.0
    max_duration: float = 14_400.0
    publish: Callable[[str, str, Mapping[str, Any]], None] | None = None


class ForkedCall:
    """One fork, from `fork_start` to its end.

    Args:
        call_control_id: Telnyx's id of the call.
        formats: What each payload type is in.
        options: What is the same for all forked calls.
        on_start: Told once, with the first packet of sound.
        on_end: Told once, as the fork ends: its ports are to be closed.
        pacer: Wakes the call when a gap is to be given up.
        clock: Monotonic seconds.
        log: Bound to this call.

    Attributes:
        stream_id: An id of our own.
        end_reason: Why it ended; None while it runs.
        info: What its sinks were opened for; None before the first packet of sound.
    """

    def __init__(
        self,
        call_control_id: str,
        *,
        formats: Mapping[int, RtpFormat],
        options: ForkOptions,
        on_start: Callable[["ForkedCall"], None],
        on_end: Callable[["ForkedCall"], None],
        pacer: Pacer,
        clock: Callable[[], float] = time.monotonic,
        log: FilteringBoundLogger,
    ) -> None:
        self.call_control_id = call_control_id
        self.stream_id = f"fork-{secrets.token_hex(8)}"
        self.log = log.bind(stream_id=self.stream_id)
        self.end_reason: EndReason | None = None
        self.info: StreamInfo | None = None
        self._options = options
        self._on_start = on_start
        self._on_end = on_end
        self._pacer = pacer
        self._clock = clock
        self._opened = clock()
        self._began = 0.0
        self._duration: float | None = None
        self._refused: Counter[str] = Counter()
        self._digits = 0
        self._problems_told = 0
        self._armed_for: float | None = None
        self._stirred = asyncio.Event()
        self._ended = asyncio.Event()
        self._mailbox: Mailbox[ForkItem] | None = None
        self._ledger = GapLedger()
        self._sinks = FanOut(
            options.sinks,
            services=options.sink_services,
            clock=clock,
            wake_at=pacer.wake_at,
            on_event=weakly(self._publish_sink_event),
            log=self.log,
        )
        self._receivers = {
            track: RtpReceiver(
                track,
                formats=formats,
                ledger=self._ledger,
                begin=weakly(self._begin),
                on_digit=weakly(self._pressed),
                window=options.reorder_window,
            )
            for track in _TRACKS
        }

    # --- for whoever listens --------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[ForkItem]:
        """What happens in this call from now on: inbound frames and keys. For one reader."""
        if self._mailbox is None:
            self._mailbox = Mailbox(_MAILBOX_ITEMS, expendable=AudioFrame)
            if self.end_reason is not None:
                self._mailbox.close()
        return self._mailbox

    def publish(self, event_type: str, data: Mapping[str, Any]) -> None:
        """See `Call.publish`."""
        if self._options.publish is not None:
            self._options.publish(self.call_control_id, event_type, data)

    async def wait_ended(self) -> EndReason:
        """Wait for the end of the fork."""
        await self._ended.wait()
        assert self.end_reason is not None
        return self.end_reason

    # --- from the socket ------------------------------------------------------------------------------------------

    def datagram_received(self, track: Track, datagram: bytes, address: Address, *, now: float) -> None:
        """Take whatever came to the port of this track; never raises.

        A STREP header knows the direction better than the port: with it, both may come to one port.
        """
        if self.end_reason is not None:
            return
        try:
            packet = parse_rtp(datagram)
            frames = self._receivers[packet.direction or track].push(packet, address, now=now)
        except DatagramError as error:
            self._refused[error.reason] += 1
            return
        except Exception:
            self.log.exception("fork failed")
            self.end(EndReason.INTERNAL_ERROR)
            return
        for frame in frames:
            self._fan_out(frame)
        if len(frames) != 1:  # something waits for its turn, or did until now
            self._arm()

    # --- its life -------------------------------------------------------------------------------------------------

    def end(self, reason: EndReason) -> None:
        """End the fork; what waited for its turn is handed out first. Does nothing the second time."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        for receiver in self._receivers.values():
            for frame in receiver.flush():
                self._fan_out(frame)
        self._duration = self._clock() - self._opened
        if self._mailbox is not None:
            self._mailbox.close()
        self._stirred.set()
        self._ended.set()
        self._on_end(self)

    async def run(self) -> None:
        """Run the sinks, and watch over what does not come, until the fork has ended and every sink has closed."""
        async with asyncio.TaskGroup() as tasks:
            running = False
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK):
                        await self._stirred.wait()
                self._stirred.clear()
                if self.info is not None and not running:
                    running = True
                    self._sinks.run(tasks, self.info)
                if self.end_reason is not None:
                    break
                self.look(now=self._clock())
            self._sinks.release()

    def look(self, *, now: float) -> None:
        """See what did not come: end the fork, or let the time of its silence pass."""
        heard_at = [receiver.heard_at for receiver in self._receivers.values()]
        problems = [problem for receiver in self._receivers.values() for problem in receiver.problems]
        if len(problems) > self._problems_told:
            self._problems_told = len(problems)
            self.log.warning("packets cannot be decoded", problems=problems)
        if now >= self._opened + self._options.max_duration:
            self.end(EndReason.MAX_DURATION)
        elif self.info is None:
            if now >= self._opened + self._options.start_timeout:
                self.end(EndReason.NO_START)
        elif now >= max(at for at in heard_at if at is not None) + self._options.silence_timeout:
            self.end(EndReason.LINK_LOST)
        else:
            for receiver in self._receivers.values():
                for frame in receiver.pass_time(now=now):
                    self._fan_out(frame)

    def _begin(self, codec: Codec, now: float) -> tuple[int, int]:
        """The first sound of one direction: tell the rate of all frames, and where this one begins."""
        if self.info is None:
            self._began = now
            self.info = StreamInfo(
                call_control_id=self.call_control_id,
                stream_id=self.stream_id,
                call_session_id=None,
                inbound_encoding=codec.encoding,
                inbound_sample_rate=codec.sample_rate,
                played_encoding="",
                played_sample_rate=codec.sample_rate,
                client_state=None,
                custom_parameters={},
                started_at=time.time(),
                report=weakly(self.report),
                publish=publisher(self._options.publish, self.call_control_id),
            )
            self._stirred.set()
            self._on_start(self)
        rate = self.info.inbound_sample_rate
        return rate, round((now - self._began) * rate)

    # --- the way of a frame ---------------------------------------------------------------------------------------

    def _fan_out(self, frame: AudioFrame) -> None:
        self._sinks.write(frame)
        if self._mailbox is not None and frame.track == "inbound":
            self._mailbox.put(frame)

    def _publish_sink_event(self, event: SinkEvent) -> None:
        self.publish(event_type_of(event), msgspec.to_builtins(event))

    def _pressed(self, digit: str) -> None:
        self._digits += 1
        if self._mailbox is not None:
            self._mailbox.put(Dtmf(digit, datetime.now(UTC)))

    def _arm(self) -> None:
        """Have the pacer wake this call when the next gap is to be given up."""
        due = [at for receiver in self._receivers.values() if (at := receiver.deadline()) is not None]
        if due and (self._armed_for is None or min(due) < self._armed_for):
            self._armed_for = min(due)
            self._pacer.wake_at(self._armed_for, self._wake)

    def _wake(self, now: float) -> None:
        if self.end_reason is not None or self._armed_for is None or now < self._armed_for:
            return
        self._armed_for = None
        for receiver in self._receivers.values():
            for frame in receiver.pop(now=now):
                self._fan_out(frame)
        self._arm()

    # --- for the operator -----------------------------------------------------------------------------------------

    def report(self) -> Mapping[str, Any]:
        """What there is to know of this fork, as JSON-ready values, in the shape of a stream's report."""
        info = self.info
        duration = self._clock() - self._opened if self._duration is None else self._duration
        receivers = self._receivers.values()
        tracks = {track: receiver.describe() for track, receiver in self._receivers.items()}
        return {
            "stream_id": self.stream_id,
            "end_reason": self.end_reason,
            "duration_seconds": round(duration, 3),
            "inbound_codec": None if info is None else f"{info.inbound_encoding}/{info.inbound_sample_rate}",
            "played_codec": None,
            "reconnects": 0,
            "received": totals(tracks.values())
            | {
                "datagrams_refused": dict(self._refused),
                "resynchronisations": sum(receiver.resynchronisations for receiver in receivers),
                "wire": next((wire.describe() for receiver in receivers if (wire := receiver.wire) is not None), None),
                "tracks": tracks,
                "ledger": self._ledger.describe(),
            },
            "played": None,
            "digits_received": self._digits,
            "digits_late": 0,
            "errors_from_telnyx": 0,
            "agent_error": None,
            "agent_items_dropped": 0 if self._mailbox is None else self._mailbox.dropped,
            "sinks": self._sinks.describe(),
        }
