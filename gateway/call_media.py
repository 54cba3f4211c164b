"""How each call's sound is asked for, and what hears and answers it: the decision, in Telnyx's terms and in ours."""

from typing import Any

from gateway.agents.base import AgentFactory
from gateway.call import CallOptions
from gateway.choices import Choices
from gateway.config import Settings
from gateway.control.decider import Decider
from gateway.decision import Decision
from gateway.directory import CallDirectory
from gateway.errors import AdmissionError
from gateway.forked_call import ForkOptions
from gateway.protocol.commands import ForkStart, StreamingStart
from gateway.protocol.messages import Start
from gateway.server.admission import Admission
from gateway.server.fork import ForkServer

__all__ = ["CallMedia"]


class CallMedia:
    """Looks decisions up, and carries them out.

    Args:
        settings: What holds where a decision says nothing.
        admission: Issues the tokens of streams.
        directory: Knows what was decided.
        choices: Agents and sinks.
        decider: Asked again when a stream begins.

    Attributes:
        stream_url: Where Telnyx finds the media port.
        forks: Opens ports for forks; None where there are none.
    """

    def __init__(
        self, settings: Settings, *, admission: Admission, directory: CallDirectory, choices: Choices, decider: Decider
    ) -> None:
        self.stream_url = ""
        self.forks: ForkServer | None = None
        self._settings = settings
        self._admission = admission
        self._directory = directory
        self._choices = choices
        self._decider = decider

    def stream_fields(self, call_control_id: str | None, decision: Decision | None = None) -> dict[str, Any]:
        """The fields of `streaming_start`, which `dial` has as well: both directions in one codec.

        Args:
            call_control_id: The call; None for one that is being dialled.
            decision: What was decided over it.
        """
        settings, decision = self._settings, decision or Decision()
        encoding, sample_rate = decision.stream_codec((settings.stream_codec, settings.stream_sample_rate))
        mode = decision.mode or settings.stream_mode
        token = self._admission.issue(call_control_id, asked_codec=("MP3" if mode == "mp3" else encoding, sample_rate))
        if settings.stream_token_in == "path":  # noqa: S105 - a place, not a token
            url, question, query = self.stream_url.partition("?")
            where = {"stream_url": f"{url.rstrip('/')}/{token}{question}{query}"}
        else:
            where = {"stream_url": self.stream_url, "stream_auth_token": token}
        return where | {
            "stream_track": decision.track,
            "stream_codec": encoding,
            "stream_bidirectional_mode": mode,
            "stream_bidirectional_codec": encoding,
            "stream_bidirectional_sampling_rate": sample_rate,
            "stream_bidirectional_target_legs": decision.target_legs,
        }

    def streaming_start(self, call_control_id: str) -> StreamingStart:
        """What is asked of Telnyx for a call that is to be streamed."""
        return StreamingStart(**self.stream_fields(call_control_id, self._decided(call_control_id)))

    async def fork_start(self, call_control_id: str) -> ForkStart:
        """What is asked of Telnyx for a call that is to be forked; opens its ports.

        Raises:
            AdmissionError: No ports are set, or none is free.
        """
        if self.forks is None:
            raise AdmissionError("no_fork", 503, "GATEWAY_FORK_LISTEN is not set")
        targets = await self.forks.open(call_control_id)
        return ForkStart(rx=targets.rx, tx=targets.tx, stream_type="decrypted")

    def call_options(self, usual: CallOptions, start: Start) -> CallOptions:
        """How a call is run whose stream begins."""
        record = self._directory.get(start.start.call_control_id)
        direction = None if record is None else record.life.direction
        decision = self._decider.of_stream(start, direction, self._decided(start.start.call_control_id))
        return self._choices.call_options(usual, decision)

    def agent_of(self, usual: CallOptions, decision: Decision) -> AgentFactory | None:
        """Who will answer a call that was decided over; None for nobody."""
        if decision.action != "answer" or decision.media != "stream":
            return None
        return self._choices.call_options(usual, decision).agent

    def fork_options(self, usual: ForkOptions, call_control_id: str) -> ForkOptions:
        """How a call is run that is to be forked."""
        return self._choices.fork_options(usual, self._decided(call_control_id) or Decision())

    def _decided(self, call_control_id: str) -> Decision | None:
        record = self._directory.get(call_control_id)
        return None if record is None else record.life.decision
