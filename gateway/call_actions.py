"""What can be asked of a call beside its sound: Telnyx's commands, and the media services.

All of it only passes on: to whoever sends commands, and to `gateway.services`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Unpack

from gateway.call_options import CallOptions
from gateway.errors import ControlError
from gateway.playback import Playback
from gateway.protocol.commands import Command, Hangup, Refer, Transfer
from gateway.services.gather import Gathered, GatherFields, gather_options
from gateway.services.services import CallServices, Prompt
from gateway.sinks.base import SinkSource
from gateway.sinks.recorder import RecordingOptions

__all__ = ["CallActions"]


class CallActions(ABC):
    """The part of `Call` that is the same whatever its sound goes through.

    Args:
        call_control_id: Telnyx's id of the call.
        options: What is the same for all calls.
    """

    def __init__(self, call_control_id: str, options: CallOptions) -> None:
        self.call_control_id = call_control_id
        self._options = options

    def publish(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell an event of this call to everybody who follows it; returns at once.

        Args:
            event_type: Its dotted name, in lower case.
            data: JSON-ready values.
        """
        if self._options.publish is not None:
            self._options.publish(self.call_control_id, event_type, data)

    async def command(self, command: Command) -> Mapping[str, Any]:
        """Have Telnyx do something with this call: see `gateway.protocol.commands`.

        Returns:
            What Telnyx answers.

        Raises:
            ControlError: Telnyx refuses, or cannot be reached; or the gateway has no key to ask it with.
        """
        if self._options.command is None:
            raise ControlError(f"{command.action}: not sent: TELNYX_API_KEY is not set")
        return await self._options.command(self.call_control_id, command)

    async def hangup(self) -> None:
        """Hang up; it is no error if the other end was faster. Raises as `command`."""
        await self.command(Hangup())

    async def transfer(self, to: str, **fields: Any) -> None:
        """Connect the caller with somebody else, and leave.

        Args:
            to: A number in E.164, or a SIP address.
            fields: Any others of Telnyx's `transfer`.

        Raises:
            ControlError: As `command`.
            pydantic.ValidationError: A field is wrong.
        """
        await self.command(Transfer(to=to, **fields))

    async def refer(self, sip_address: str, **fields: Any) -> None:
        """Have the caller's SIP end call somebody else instead; arguments and errors as with `transfer`."""
        await self.command(Refer(sip_address=sip_address, **fields))

    # --- media services: see docs/services.md; all raise MediaServiceError for what does not go just now ----------

    @property
    @abstractmethod
    def services(self) -> CallServices:
        """What the methods below are made of, and the HTTP API."""

    def say(self, text: str, *, voice: str | None = None, language: str | None = None) -> Playback:
        """Speak a text behind what was said before, by the service of GATEWAY_SPEECH; as `play`.

        Raises:
            SpeechError: There is nothing to speak, or too much. What else goes wrong is told by the playback.
        """
        return self.services.say(text, voice=voice, language=language)

    async def gather(
        self,
        *,
        prompt: Prompt | None = None,
        invalid_prompt: Prompt | None = None,
        maximum_tries: int | None = None,
        **options: Unpack[GatherFields],
    ) -> Gathered:
        """Collect keys; the first one cuts the prompt off. Leaving it early cancels it.

        Args:
            prompt: What is played first; see `Prompt`.
            invalid_prompt: What is played before that in each further try.
            maximum_tries: 3 if None, and 1 without a prompt.
            options: Any others of `GatherOptions`; with a prompt there is no `initial_timeout` unless one is given.

        Raises:
            MediaServiceError: Another gather is under way, or a prompt cannot be played.
        """
        wanted = gather_options(prompted=prompt is not None, maximum_tries=maximum_tries, **options)
        gather = self.services.gather(wanted, prompt=prompt, invalid_prompt=invalid_prompt)
        try:
            return await gather.wait()
        finally:
            self.services.gathers.stop(gather)

    def gather_stop(self) -> bool:
        """End the gather as `cancelled`; returns whether there was one."""
        return self.services.gathers.stop()

    async def record_start(self, options: RecordingOptions | None = None) -> str:
        """Begin a recording, beside any others; returns its id, which is the name of its folder."""
        return await self.services.record_start(options or RecordingOptions())

    def record_stop(self, recording_id: str | None = None) -> list[str]:
        """End one recording that was begun by `record_start`, or all; returns the ids of those that ran."""
        return self.services.recordings.stop(recording_id)

    def record_pause(self, recording_id: str | None = None) -> list[str]:
        """Record silence from now on, in as much time; arguments and result as with `record_stop`."""
        return self.services.recordings.pause(recording_id)

    def record_resume(self, recording_id: str | None = None) -> list[str]:
        """Record again; arguments and result as with `record_stop`."""
        return self.services.recordings.resume(recording_id)

    def add_sink(self, sink: str | SinkSource, name: str | None = None) -> str:
        """Give the sound to a further sink, by its URL or what makes it; returns the name it has in this call."""
        return self.services.add_sink(sink, name)

    def remove_sink(self, name: str) -> None:
        """Have a sink close; it gets what waits for it."""
        self.services.remove_sink(name)

    def transcription_start(self, transcriber: str | None = None) -> str:
        """Add a transcriber by its URL, or that of GATEWAY_TRANSCRIBER; returns its name as a sink."""
        return self.services.transcription_start(transcriber)

    def transcription_stop(self) -> bool:
        """Remove it; returns whether there was one."""
        return self.services.transcription_stop()
