"""One call: its media stream, its sound in both directions, its sinks and its agent.

What comes from the socket is plain calls down to the sinks. What the agent says leaves in the same call where it is
due, else when the pacer wakes the call. Task switches are at the ends of the call's life, and where a play reads its
source.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from structlog.typing import FilteringBoundLogger

from audio_codecs import Codec, Samples
from gateway.agents.slot import AgentSlot
from gateway.call_actions import CallActions
from gateway.call_options import CallOptions
from gateway.dtmf import KeyBuffer, ToneReader
from gateway.end_reason import EndReason
from gateway.items import CallItem, Dtmf, MarkReached
from gateway.media.pacer import Pacer
from gateway.media.playout import MAX_QUEUED
from gateway.media.receiver import Receiver
from gateway.media.utterance import Utterance
from gateway.playback import Playback, Plays
from gateway.player import Player
from gateway.protocol import messages
from gateway.protocol.messages import Error, Media, Start
from gateway.protocol.stream import TRACKS, MediaReceived, MediaStream
from gateway.services.services import CallServices, playback_data
from gateway.services.sounds import Loop, check_loop, is_url, read_sound
from gateway.services.suppression import SuppressedReceiver, suppress, unsuppressed
from gateway.sinks.base import AsyncAudioSink, AudioSink, StreamInfo, publisher
from gateway.sinks.delivery import Declared, delivery_of
from gateway.sinks.events import SinkEvent, event_type_of
from gateway.sinks.fanout import FanOut
from gateway.sound.file import SoundFile, pack, read_file
from gateway.sound.source import Source, read_source, stream_reader
from gateway.vad.choose import open_vad
from gateway.vad.detector import DEFAULT_SILENCE, SpeechDetector
from gateway.weakly import weakly

__all__ = ["Call", "CallItem", "CallOptions", "EndReason"]


class Call(CallActions):
    """One streamed call, from `start` to its end.

    Args:
        start: The stream's first message.
        stream: Makes the messages that are sent.
        inbound: Opens the codec of what comes in, one for each track.
        outbound: The codec of what is sent.
        options: What is the same for all calls.
        transmit: Puts a message on the wire.
        on_end: Told once, as the call ends: the socket is to be closed.
        pacer: Wakes the call when something is due.
        clock: Monotonic seconds.
        log: Bound to this stream.
    """

    # What each frame needs; the rest is in the dictionary that every call has, which is far more memory to look into.
    __slots__ = ("_clock", "_inbound", "_played", "_player", "_receiver", "_write", "end_reason")

    def __init__(
        self,
        start: Start,
        *,
        stream: MediaStream,
        inbound: Callable[[], Codec],
        outbound: Codec,
        options: CallOptions,
        transmit: Callable[[bytes], None],
        on_end: Callable[[EndReason], None],
        pacer: Pacer,
        clock: Callable[[], float] = time.monotonic,
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__(start.start.call_control_id, options)
        self.stream_id = start.stream_id
        self.log = log
        self.end_reason: EndReason | None = None
        self.info = _stream_info(start, inbound().sample_rate, outbound, weakly(self.report), options)
        self._on_end = on_end
        self._outbound = outbound
        self._pacer = pacer
        self._clock = clock
        self._receiver: Receiver | SuppressedReceiver = Receiver(inbound, window=options.reorder_window)
        self._keys = KeyBuffer(options.reorder_window)
        self._player = Player(
            stream,
            outbound,
            transmit=transmit,
            here=weakly(self._caller_position),
            on_finished=weakly(self._said),
            on_drop=weakly(self._sound_dropped),
            lead=options.playout_lead,
            message=options.playout_message,
            phase=pacer.phase(),
        )
        self._plays = Plays(self._player, clock=clock, arm=weakly(self._arm), hear=weakly(self._hear), log=log)
        self._armed_for: float | None = None
        self._started = clock()
        self._duration: float | None = None
        self._linked_at = self._started
        self._reconnects = 0
        self._errors_told = 0
        self._payloads_bad_told = 0
        self._ended = asyncio.Event()
        self._sinks = FanOut(
            options.sinks,
            services=options.sink_services,
            clock=clock,
            wake_at=pacer.wake_at,
            on_event=weakly(self._publish_sink_event),
            log=log,
        )
        self._agent = AgentSlot(
            options.agent,
            warm=options.warm_agents,
            on_failure=options.agent_failure,
            grace=options.agent_grace,
            on_listening=partial(weakly(self._sinks.tap), "inbound"),
            log=log,
        )
        self._write = self._sinks.write
        self._inbound = self._sinks.route("inbound")
        self._played = self._sinks.route("played")
        self._services: CallServices | None = None

    # --- for agents -----------------------------------------------------------------------------------------------

    def send_audio(self, samples: Samples, sample_rate: int | None = None) -> None:
        """Say something as it comes: queue sound behind what was said before.

        Args:
            samples: int16, shape (n,), mono; any length. Do not write to it afterwards.
            sample_rate: In Hz; the stream's own if None.
        """
        if self.end_reason is not None:
            return
        clock = self._clock  # see `Player.flow`
        now = clock()
        player = self._player
        if now >= player.hear_at:
            self._hear(now)  # where no packets come, nobody else does
        if not player.flow(samples, sample_rate, now):
            player.send_audio(samples, sample_rate, now)
            self._arm()

    def play(
        self,
        source: Source,
        sample_rate: int | None = None,
        *,
        name: str | None = None,
        loop: Loop = 1,
        kind: Literal["playback", "speak"] = "playback",
    ) -> Playback:
        """Play something behind what was said before; returns at once.

        Args:
            source: The path or URL of a WAV or MP3 file; the octets of one; an array, int16 or floating within -1 to 1,
                of shape (n,) or (n, channels); or an async generator of such arrays, which may still be producing. No
                more than about two seconds are read ahead.
            sample_rate: Of an array, or a generator's, in Hz.
            name: For `PlaybackFinished` and the call's record; a made one if None.
            loop: How often, 1 to 100, or `infinity`; a generator has no second time.
            kind: What the event of its end is called: `playback.ended` or `speak.ended`.

        Returns:
            What to await for its end, or to cancel it by. What was said behind it waits until its source has ended.

        Raises:
            PlaybackError: It is nothing that can be played, or a hundred plays wait already. What is wrong with a
                file's contents, or its URL, is told by the playback.
        """
        check_loop(loop, source)
        to_rate = self._player.sample_rate
        if loop == 1 and not is_url(source):
            if self._player.takes_files:
                return self._play(read_file(source, sample_rate, codec=self._outbound), name, kind)
            return self._play(read_source(source, sample_rate, to_rate=to_rate), name, kind)
        sound = read_sound(source, sample_rate, to_rate=to_rate, loop=loop, fetch=self._options.services.fetch)
        return self._play(pack(sound, codec=self._outbound) if self._player.takes_files else sound, name, kind)

    def send_dtmf(self, digits: str, *, duration_ms: int = 250, gap_ms: int = 100) -> Playback:
        """Press keys, as tones in the sound, behind what was said before.

        Args:
            digits: `0` to `9`, `A` to `D`, `*`, `#`; `w` waits half a second, `W` a second; up to 200.
            duration_ms: Of each tone, 50 to 500.
            gap_ms: Of the silence behind each tone, 50 to 500.

        Returns:
            As `play`.

        Raises:
            PlaybackError: There is no such key, a time is out of range, or a hundred plays wait already.
        """
        sample_rate = self._player.sample_rate
        tones = ToneReader(digits, sample_rate, duration_ms=duration_ms, gap_ms=gap_ms)
        sound = stream_reader(lambda: tones, to_rate=sample_rate)
        return self._play(pack(sound, codec=self._outbound) if self._player.takes_files else sound, None)

    def mark(self, name: str) -> None:
        """Ask for a `MarkReached` of this name when all that was said so far was played, or cleared.

        Raises:
            PlaybackError: The name begins with `gateway:`, has more than 4096 characters, or a thousand marks wait.
        """
        if self.end_reason is None:
            self._player.mark(name, now=self._clock())
            self._arm()

    def clear(self) -> None:
        """Fall silent at once: drop everything said that was not heard yet, here and at Telnyx. Ends a pause."""
        if self.end_reason is None:
            now = self._clock()
            self._hear(now)
            self._player.clear(now=now)

    def pause(self) -> None:
        """Fall silent at once, and keep what was not heard yet, also of what Telnyx has, until `resume`.

        What is said while paused is queued behind it. A generator that is played is not asked for more than about two
        seconds.
        """
        if self.end_reason is None:
            self._hear(self._clock())
            self._player.pause()

    def resume(self) -> None:
        """Go on after `pause` with the first 20 ms that were not heard."""
        if self.end_reason is None:
            self._player.resume(now=self._clock())
            self._arm()

    async def wait_for_playout(self) -> None:
        """Wait until all that was said so far was heard, or cleared, or the call has ended."""
        if self.end_reason is None:
            self._player.end_speech(now=self._clock())
            self._arm()
            await self._plays.wait_finished(self._player.utterances())

    def listen(self, sink: AudioSink | AsyncAudioSink, name: str = "listener") -> None:
        """Give every further frame to `sink` by a plain call, until the call ends or the sink raises.

        An agent that listens before it first waits for anything misses nothing from the call's very beginning. What
        else the sink may want, its `delivery` says: see docs/sinks.md.
        """
        source = Declared(lambda info: sink, delivery_of(sink))
        self._sinks.add(name, source, early=self._agent.early_frames())

    def detect_speech(self, vad: str = "auto", *, silence: float = DEFAULT_SILENCE) -> None:
        """Have `SpeechStarted` and `SpeechEnded` told from now on, among what happens in this call.

        Args:
            vad: Which detector: see docs/agents.md.
            silence: Seconds without speech that end it.

        Raises:
            ConfigError: There is no such detector, or it is not installed.
            ValueError: `silence` is out of range.
        """
        rate = self.info.inbound_sample_rate
        detector = SpeechDetector(open_vad(vad, rate), self._agent.tell, inbound_sample_rate=rate, silence=silence)
        self.listen(detector, "speech")

    def playing(self) -> list[Playback]:
        """All that was said and is not over, in order."""
        return self._plays.waiting()

    @property
    def services(self) -> CallServices:
        """What the methods below are made of, and the HTTP API."""
        if self._services is None:
            self._services = CallServices(
                self, self._options.services, sinks=self._sinks, clock=self._clock, wake_at=self._pacer.wake_at
            )
        return self._services

    def suppression_start(self, *, level: int = 3) -> None:
        """Take the noise out of what the caller says, for all who hear it: 1 a little, to 4 as much as can be."""
        self._receiver = suppress(self._receiver, self.info.inbound_sample_rate, level=level)

    def suppression_stop(self) -> bool:
        """Let it through again; returns whether it was suppressed."""
        suppressed, self._receiver = self._receiver, unsuppressed(self._receiver)
        return suppressed is not self._receiver

    def __aiter__(self) -> AsyncIterator[CallItem]:
        """What happens in this call from now on: see `CallItem`. For one reader."""
        return self._agent.read()

    async def wait_ended(self) -> EndReason:
        """Wait for the end of the call's stream."""
        await self._ended.wait()
        assert self.end_reason is not None
        return self.end_reason

    # --- from the socket ------------------------------------------------------------------------------------------

    def media_received(self, message: Media[int], now: float) -> bool:
        """Take one packet, fifty times a second. Returns whether all payloads since the last time could be decoded."""
        if now >= self._player.hear_at:
            self._hear(now)
        body = message.media
        track = TRACKS[body.track]
        frame = self._receiver.push_next(track, message.sequence_number, body.chunk, body.payload, now)
        if frame is None:
            packet = MediaReceived(track, message.sequence_number, body.chunk, body.timestamp, body.payload)
            return self._sort_in(packet, now)
        if track == "inbound":
            self._inbound.write(frame)
        else:
            self._write(frame)
        return not frame.concealed or self._all_decoded()

    def event_received(self, event: messages.Dtmf | messages.MarkReached | Error) -> None:
        """Take anything else that came on the stream."""
        if isinstance(event, Error):
            self._errors_told += 1
            self.log.warning("Telnyx reports an error", code=event.payload.code, title=event.payload.title[:100])
            return
        self._receiver.note(event.sequence_number)
        now = self._clock()
        if isinstance(event, messages.Dtmf):
            self._tell(self._keys.push(event, now=now))
        elif self._player.mark_returned(event.mark.name, now=now):
            self._agent.tell(MarkReached(event.mark.name))
        self._hear_enough(now)
        self._arm()

    def plays(self, codec: Codec) -> bool:
        """Whether this is the codec of what the call sends."""
        return (codec.encoding, codec.sample_rate) == (self.info.played_encoding, self.info.played_sample_rate)

    def silent_for(self, now: float) -> float:
        """How many seconds ago a packet was due that did not come."""
        return now - max(self._receiver.due(), self._linked_at)

    def link_lost(self) -> None:
        """The socket is gone, and another may come: what is said waits for it."""
        self._hear(self._clock())
        self._player.link_lost()
        self._arm()

    def reconnect(
        self,
        stream_id: str,
        *,
        stream: MediaStream,
        inbound: Callable[[], Codec],
        transmit: Callable[[bytes], None],
        on_end: Callable[[EndReason], None],
        log: FilteringBoundLogger,
    ) -> None:
        """Go on with another socket; the arguments are as at the call's making."""
        now = self._linked_at = self._clock()
        self.stream_id = stream_id
        self.log = log
        self._reconnects += 1
        self._on_end = on_end
        self._hear(now)
        for frame in self._receiver.reconnect(inbound):
            self._write(frame)
        self._player.reconnect(stream, transmit, now=now)
        self._arm()

    def end(self, reason: EndReason) -> None:
        """End the call; what waited for its turn is handed out first. Does nothing the second time."""
        if self.end_reason is not None:
            return
        now = self._clock()
        self.end_reason = reason
        for frame in self._receiver.flush():
            self._write(frame)
        self._hear(now)
        self._player.finish(played_out=reason is EndReason.LINK_LOST)
        self._tell(self._keys.flush())
        if self._services is not None:
            self._services.call_ended()
        self._duration = now - self._started
        self._agent.close()
        self._ended.set()
        self._on_end(reason)

    # --- its life -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the sinks and the agent until the call has ended and all of them have closed."""
        async with asyncio.TaskGroup() as tasks:
            self._sinks.run(tasks, self.info)
            self._plays.run(tasks)
            tasks.create_task(self._agent.run(self), name="agent")
            try:
                async with asyncio.timeout(self._options.max_duration):
                    await self._ended.wait()
            except TimeoutError:
                self.end(EndReason.MAX_DURATION)
            self._sinks.release()

    # --- the way of a frame ---------------------------------------------------------------------------------------

    def _hear(self, now: float) -> None:
        """Tell the sinks what of the application's sound is heard by now."""
        for frame in self._player.heard(now=now):
            self._played.write(frame)

    def _hear_enough(self, now: float) -> None:
        """The same, when it is worth while."""
        for frame in self._player.heard_enough(now=now):
            self._played.write(frame)

    def _sort_in(self, packet: MediaReceived, now: float) -> bool:
        """Take a packet that does not come in its turn; returns as `media_received`."""
        for frame in self._receiver.push(packet, now=now):
            self._write(frame)
        self._arm()  # something waits for its turn, or did until now
        return self._all_decoded()

    def _all_decoded(self) -> bool:
        told, self._payloads_bad_told = self._payloads_bad_told, self._receiver.payloads_bad
        return self._payloads_bad_told == told

    def _play(self, sound: AsyncGenerator[Samples | SoundFile], name: str | None, kind: str = "playback") -> Playback:
        if self.end_reason is not None:
            return self._plays.refuse(name)
        playback = self._plays.start(sound, name)
        playback.add_done_callback(
            lambda over: self.publish(f"{kind}.ended", playback_data(over, call_over=self.end_reason is not None))
        )
        self._arm()
        return playback

    def _publish_sink_event(self, event: SinkEvent) -> None:
        self.publish(event_type_of(event), msgspec.to_builtins(event))

    def _sound_dropped(self) -> None:
        """More is said than may wait; from now on it is counted only."""
        self.log.warning("sound of the agent dropped: too much waits to be said already")
        self.publish("agent.sound_dropped", {"waiting_seconds": MAX_QUEUED})

    def _said(self, utterance: Utterance) -> None:
        """An utterance is over."""
        self._plays.finished(utterance)
        if utterance.finished is not None:
            self._agent.tell(utterance.finished)

    def _tell(self, keys: Sequence[Dtmf]) -> None:
        for key in keys:
            self._agent.tell(key)
            if self._services is not None:
                self._services.gathers.key(key.digit)

    def _caller_position(self) -> int:
        """Where the caller's channel stands, in samples at the player's rate."""
        return self._receiver.position("inbound") * self.info.played_sample_rate // self.info.inbound_sample_rate

    def _arm(self) -> None:
        """Have the pacer wake this call for what is due next, unless it will come by before that anyway."""
        deadline = self._player.deadline()
        for other in (self._receiver.deadline(), self._keys.deadline()):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        if deadline is not None and (self._armed_for is None or deadline < self._armed_for):
            self._armed_for = deadline
            self._pacer.wake_at(max(deadline, 0.0), self._wake)  # what is over due may say so by minus infinity

    def _wake(self, now: float) -> None:
        if self.end_reason is not None or self._armed_for is None or now < self._armed_for:
            return
        self._armed_for = None
        try:
            self._hear_enough(now)
            for frame in self._receiver.pop(now=now):
                self._write(frame)
            self._tell(self._keys.pop(now=now))
            self._player.send_due(now=now)
        except Exception:
            self.log.exception("call failed")
            self.end(EndReason.INTERNAL_ERROR)
            return
        self._arm()

    # --- for the operator -----------------------------------------------------------------------------------------

    def report(self) -> Mapping[str, Any]:
        """What there is to know of this stream, as JSON-ready values; final once the call has ended."""
        duration = self._clock() - self._started if self._duration is None else self._duration
        return {
            "stream_id": self.stream_id,
            "end_reason": self.end_reason,
            "duration_seconds": round(duration, 3),
            "inbound_codec": f"{self.info.inbound_encoding}/{self.info.inbound_sample_rate}",
            "played_codec": f"{self.info.played_encoding}/{self.info.played_sample_rate}",
            "reconnects": self._reconnects,
            "received": self._receiver.describe(),
            "played": self._player.describe(),
            "digits_received": self._keys.keys,
            "digits_late": self._keys.keys_late,
            "errors_from_telnyx": self._errors_told,
            "agent_error": self._agent.error,
            "agent_items_dropped": self._agent.items_dropped,
            "sinks": self._sinks.describe(),
        }


def _stream_info(
    start: Start,
    inbound_sample_rate: int,
    outbound: Codec,
    report: Callable[[], Mapping[str, Any]],
    options: CallOptions,
) -> StreamInfo:
    body = start.start
    return StreamInfo(
        call_control_id=body.call_control_id,
        stream_id=start.stream_id,
        call_session_id=body.call_session_id,
        inbound_encoding=body.media_format.encoding,
        inbound_sample_rate=inbound_sample_rate,
        played_encoding=outbound.encoding,
        played_sample_rate=outbound.sample_rate,
        client_state=body.client_state,
        custom_parameters=body.custom_parameters or {},
        started_at=time.time(),
        report=report,
        publish=publisher(options.publish, body.call_control_id),
    )
