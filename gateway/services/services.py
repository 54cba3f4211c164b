"""The media services of one call: what `Call` and the HTTP API both offer, made when one of them is first asked for."""

import weakref
from collections.abc import AsyncGenerator, Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from audio_codecs import Samples
from gateway.errors import ConfigError, MediaServiceError, SinkError
from gateway.playback import Playback
from gateway.services.gather import GatherOptions
from gateway.services.gathers import Gather, Gathers
from gateway.services.options import ServiceOptions
from gateway.services.recordings import CallRecordings
from gateway.sinks.base import SinkSource
from gateway.sinks.delivery import delivery_of
from gateway.sinks.fanout import FanOut
from gateway.sinks.recorder import RecordingOptions
from gateway.sinks.recorder.beep import beep
from gateway.speech.base import check_text
from gateway.weakly import weakly

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["CallServices", "Prompt", "playback_data"]

Prompt: TypeAlias = str | PathLike[str] | bytes | Callable[[], Playback]
"""What a gather asks with: a file by its path, URL or octets; or what plays it, as `lambda: call.say("Your PIN?")`."""

_MAX_ADDED: Final = 100
_TRANSCRIPTION: Final = "transcription"


class CallServices:
    """What can be done with a call's sound while it runs.

    Args:
        call: The call.
        options: What is set up.
        sinks: Of the call.
        clock: Monotonic seconds.
        wake_at: Calls back at a time of that clock.

    Attributes:
        options: As given.
        gathers: Collect keys.
        recordings: Those that were begun here.
    """

    def __init__(
        self,
        call: "Call",
        options: ServiceOptions,
        *,
        sinks: FanOut,
        clock: Callable[[], float],
        wake_at: Callable[[float, Callable[[float], None]], None],
    ) -> None:
        self.options = options
        self.gathers = Gathers(clock=clock, wake_at=wake_at, publish=call.info.publish)
        self.recordings = CallRecordings(options.recorder, add=weakly(self._add), remove=sinks.remove)
        self._call: Call = weakref.proxy(call)  # which these services belong to
        self._sinks = sinks
        self._added = 0
        self._transcription: str | None = None

    def say(self, text: str, *, voice: str | None, language: str | None) -> Playback:
        """See `Call.say`."""
        speech = self.options.speech
        if speech is None:
            raise MediaServiceError("nothing speaks here: GATEWAY_SPEECH is not set", status=503)
        check_text(text)
        sound = self._telling_start(speech.speak(text, voice=voice, language=language))
        return self._call.play(sound, speech.sample_rate, kind="speak")

    def gather(
        self,
        options: GatherOptions,
        *,
        prompt: Prompt | None,
        invalid_prompt: Prompt | None,
        gather_id: str | None = None,
    ) -> Gather:
        """Begin to gather; see `Call.gather`."""
        gather = self.gathers.start(
            options, prompt=self._prompt(prompt), invalid_prompt=self._prompt(invalid_prompt), gather_id=gather_id
        )
        if self._call.end_reason is not None:
            self.gathers.call_ended()
        return gather

    async def record_start(self, options: RecordingOptions) -> str:
        """See `Call.record_start`."""
        self._still_on()
        if options.play_beep:
            sample_rate = self._call.info.played_sample_rate
            self._call.play(beep(sample_rate), sample_rate, name="beep")
        recording_id = await self.recordings.start(options)
        self._call.publish("recording.started", {"recording_id": recording_id})
        return recording_id

    def add_sink(self, sink: str | SinkSource, name: str | None) -> str:
        """See `Call.add_sink`."""
        self._still_on()
        if isinstance(sink, str):
            if self.options.find_sink is None:
                raise MediaServiceError("sinks are not found by URL here", status=503)
            try:
                found, sink = self.options.find_sink(sink)
            except (ConfigError, SinkError, TypeError, ValueError) as error:
                raise MediaServiceError(f"this sink cannot be added: {error}", status=422) from error
        else:
            found = getattr(sink, "__name__", type(sink).__name__)
        added = self._add(name or found, sink)
        self._call.publish("sink.added", {"sink": added})
        return added

    def remove_sink(self, name: str) -> None:
        """See `Call.remove_sink`."""
        if not self._sinks.remove(name):
            raise MediaServiceError("this call has no such sink, or it is over", status=404)
        self._call.publish("sink.removed", {"sink": name, "reason": "it was asked for"})

    def transcription_start(self, transcriber: str | None) -> str:
        """See `Call.transcription_start`."""
        url = transcriber or self.options.transcriber
        if url is None:
            raise MediaServiceError("say which transcriber, as GATEWAY_TRANSCRIBER is not set", status=422)
        if self._transcription is not None and self._sinks.hears(self._transcription):
            raise MediaServiceError("this call is being transcribed already")
        self._transcription = self.add_sink(url, _TRANSCRIPTION)
        return self._transcription

    def transcription_stop(self) -> bool:
        """See `Call.transcription_stop`."""
        name, self._transcription = self._transcription, None
        if name is None or not self._sinks.hears(name):
            return False
        self.remove_sink(name)
        return True

    def call_ended(self) -> None:
        """The call is over."""
        self.gathers.call_ended()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _add(self, name: str, source: SinkSource) -> str:
        if self._added == _MAX_ADDED:
            raise MediaServiceError(f"{_MAX_ADDED} sinks and recordings were added to this call already")
        try:
            delivery_of(source)
        except TypeError as error:
            raise MediaServiceError(f"this sink cannot be added: {error}", status=422) from error
        self._added += 1
        return self._sinks.add(name, source).name

    def _prompt(self, prompt: Prompt | None) -> Callable[[], Playback] | None:
        if prompt is None or callable(prompt):
            return prompt
        return lambda: self._call.play(prompt)

    def _still_on(self) -> None:
        if self._call.end_reason is not None:
            raise MediaServiceError("the call has ended")

    async def _telling_start(self, sound: AsyncGenerator[Samples]) -> AsyncGenerator[Samples]:
        """The same sound; its beginning is told."""
        begun = False
        try:
            async for samples in sound:
                if not begun:
                    begun = True
                    self._call.publish("speak.started", {})
                yield samples
        finally:
            await sound.aclose()


def playback_data(playback: Playback, *, call_over: bool) -> Mapping[str, Any]:
    """What is told of a play that is over: the words for its status are Telnyx's."""
    finished = playback.finished
    assert finished is not None
    if finished.error is not None:
        status = "failed"
    elif finished.interrupted:
        status = "call_hangup" if call_over else "cancelled"
    else:
        status = "completed"
    return {"name": playback.name, "status": status, "heard_ms": finished.heard, "error": finished.error}
