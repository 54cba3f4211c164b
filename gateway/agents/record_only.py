"""The agent that says nothing, or a greeting, and lets the caller speak: a voice mailbox, or a tap on a line."""

import asyncio
from pathlib import Path
from typing import Final

from pydantic import Field

from gateway.agents.base import Agent, AgentFactory
from gateway.agents.options import AgentConfig, AgentOptions
from gateway.agents.recording import listen_until
from gateway.call import Call
from gateway.errors import ConfigError, GatewayError
from gateway.sinks.recorder.beep import beep

__all__ = ["RecordOnly", "RecordOnlyOptions"]

_RECORDERS: Final = ("recorder", "wav")
_MAX_GREETING: Final = 600.0
_BEEP_RATE: Final = 8000


class RecordOnlyOptions(AgentOptions):
    """What `record-only` may be told. Seconds.

    Attributes:
        greeting: A WAV or MP3 file that is played first; nothing if unset.
        beep: Whether a tone tells the caller that the recording begins.
        seconds: How long a caller may speak.
        silence: So long without speech ends the call; None lets it go on.
        hangup: Whether the gateway hangs up then; else the call goes on, unrecorded where only this agent recorded it.
    """

    greeting: Path | None = None
    beep: bool = False
    seconds: float = Field(3600.0, gt=0, le=86_400)
    silence: float | None = Field(None, ge=0.5, le=3600)
    hangup: bool = True


class RecordOnly(Agent):
    """Records one call.

    Args:
        options: See there.
    """

    def __init__(self, options: RecordOnlyOptions | None = None) -> None:
        self._options = options or RecordOnlyOptions()

    @classmethod
    def configure(cls, config: AgentConfig) -> AgentFactory:
        """Read the options; what comes back makes an agent for each call.

        Raises:
            ConfigError: An option is wrong, or the greeting is not there.
        """
        options = config.read(RecordOnlyOptions)
        if options.greeting is not None and not options.greeting.is_file():
            raise ConfigError(f"GATEWAY_AGENT_OPTIONS: greeting: there is no file {str(options.greeting)!r}")
        return lambda: cls(options)

    async def run(self, call: Call) -> None:
        """Record until there was enough."""
        options = self._options
        recording = None if _is_recorded(call) else await call.record_start()
        try:
            await self._greet(call)
            reason = await listen_until(call, seconds=options.seconds, silence=options.silence, keys=False)
        finally:
            if recording is not None and call.end_reason is None:
                call.record_stop(recording)
        call.publish("agent.recorded", {"reason": reason})
        if options.hangup and call.end_reason is None:
            await call.hangup()

    async def _greet(self, call: Call) -> None:
        options = self._options
        try:
            async with asyncio.timeout(_MAX_GREETING):
                if options.greeting is not None:
                    await call.play(options.greeting, name="greeting")
                if options.beep:
                    await call.play(beep(_BEEP_RATE), _BEEP_RATE, name="beep")
        except (GatewayError, TimeoutError) as error:
            call.log.warning("greeting failed", error=f"{type(error).__name__}: {error}"[:300])


def _is_recorded(call: Call) -> bool:
    """Whether the settings have this call recorded already."""
    return any(name.partition(" ")[0] in _RECORDERS for name in call.report()["sinks"])
