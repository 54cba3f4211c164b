"""What the caller hears when the agent has failed, and what becomes of the call then."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["OnFailure"]

_SOUND: Final = (".wav", ".mp3")
_LONGEST: Final = 60.0  # seconds that an apology may take to be heard


@dataclass(frozen=True, slots=True)
class OnFailure:
    """What is done for a caller whose agent has failed.

    Args:
        apology: The path of a WAV or MP3 file, or the words to be said; None: nothing is said.
        hang_up: Whether the call is over then.
    """

    apology: str | None = None
    hang_up: bool = False

    def check(self, *, speaks: bool) -> None:
        """Find out now what would be wrong later.

        Args:
            speaks: Whether the gateway has a speech service.

        Raises:
            ConfigError: The apology looks like a file, and there is none; or it is words, and nobody speaks them.
        """
        if self.apology is None:
            return
        if self._is_file and not Path(self.apology).is_file():
            raise ConfigError(f"GATEWAY_AGENT_APOLOGY: there is no file {self.apology!r}")
        if not self._is_file and not speaks:
            raise ConfigError("GATEWAY_AGENT_APOLOGY: words need a speech service: set GATEWAY_SPEECH")

    async def __call__(self, call: "Call") -> None:
        """Take back what the agent still had to say, apologise, hang up; each as far as it is wanted, and possible."""
        if call.end_reason is not None:
            return
        try:
            call.clear()
            if self.apology is not None:
                async with asyncio.timeout(_LONGEST):
                    await (call.play(Path(self.apology), name="apology") if self._is_file else call.say(self.apology))
        except (GatewayError, TimeoutError) as error:
            call.log.warning("apology failed", error=f"{type(error).__name__}: {error}"[:500])
        try:
            if self.hang_up and call.end_reason is None:
                await call.hangup()
        except GatewayError as error:
            call.log.warning("hang-up after the agent's failure failed", error=f"{error}"[:500])

    @property
    def _is_file(self) -> bool:
        return self.apology is not None and self.apology.lower().endswith(_SOUND)
