"""One simulated caller on any media WebSocket, without REST and without webhooks.

The media side is the simulator's own: its line, its stream, its faults. The far side spoke the protocol if the stream
lasted until the caller hung up, and nothing of what came was wrong.
"""

import uuid
from typing import Any, Final

import numpy as np

from audio_codecs import Samples
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.simulator.clock import Clock
from gateway.simulator.faults import NO_FAULTS, FaultBook, Faults
from gateway.simulator.journal import Inlet, Journal
from gateway.simulator.line import Line, Speaker
from gateway.simulator.media_side import MediaSide
from gateway.simulator.playout import TICK
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.stream_plan import StreamPlan
from gateway.simulator.streaming import Streaming
from gateway.simulator.switches import Switches

__all__ = ["DirectCall"]

_FROM, _TO = "+15550100001", "+15550100002"
_LOUD: Final = 184  # -45 dB below full scale


class DirectCall:
    """One call on one media socket, and what came of it.

    Args:
        plan: Of the stream.
        speaker: Who calls.
        switches: What Telnyx does not document.
        faults: What goes wrong at our side.
    """

    def __init__(
        self, plan: StreamPlan, speaker: Speaker, *, switches: Switches | None = None, faults: Faults = NO_FAULTS
    ) -> None:
        self.journal = Journal(SAMPLE_RATE)
        self.speaker = speaker
        self._plan = plan
        self._switches = switches or Switches()
        self._faults = faults
        self._ids = {name: str(uuid.uuid4()) for name in ("call_control_id", "call_session_id", "user_id")}
        self._hung_up = False
        self._cut = False
        self._opened = False
        self._streaming: Streaming | None = None
        self._line: Line | None = None

    async def run(self) -> None:
        """Call, and talk until the caller hangs up or the stream is lost."""
        clock = Clock.of_loop()
        line = self._line = Line(self.speaker, self.journal, clock, self._hang_up, self._press)
        side = MediaSide(
            call_control_id=self._ids["call_control_id"],
            line=line,
            journal=self.journal,
            clock=clock,
            switches=self._switches,
            book=FaultBook(self._faults),
            note=self._note_fault,
        )
        self._streaming = Streaming(
            self._plan, self._start_body, side=side, hear=Inlet(self.journal).hear, answered=True, emit=self._emit
        )
        try:
            await self._streaming.run()
        finally:
            line.close()

    @property
    def errors(self) -> list[str]:
        """Why the socket could not be opened, or what was wrong with what came, in order."""
        return [error["detail"] for error in self.journal.describe()["errors"]]

    @property
    def opened(self) -> bool:
        """Whether the media socket could be opened."""
        return self._opened

    @property
    def problems(self) -> list[str]:
        """Why the far side did not do well; empty if it did."""
        problems = self.errors
        if self._opened and not self._hung_up and not self._cut and not problems:
            problems.append("the far side closed the socket before the caller hung up")
        for step in self.speaker.describe():
            if step["failure"] is not None:
                problems.append(f"the script failed at step {step['step']} ({step['verb']}): {step['failure']}")
        return problems

    def lateness(self, percent: float) -> float | None:
        """How late frames left, in seconds behind their deadlines; None where that is not known."""
        times = np.array([at for at, _ in self.journal.media_sent.pairs()])
        if not len(times) or self.journal.origin is None or self.journal.messages_sent["start"] > 1:
            return None  # after a reconnect a frame's number does not tell its deadline
        deadlines = self.journal.origin + TICK * np.arange(len(times))
        return float(np.percentile(times - deadlines, percent))

    @property
    def round_trip(self) -> float | None:
        """Seconds from the first sound that left to the first that was heard; None where there was none."""
        said, heard = _first_loud(self.journal.said.samples()), _first_loud(self.journal.heard.samples())
        return None if said is None or heard is None else (heard - said) / SAMPLE_RATE

    def _hang_up(self) -> None:
        self._hung_up = True
        assert self._streaming is not None
        self._streaming.stop()

    def _press(self, key: str) -> None:
        assert self._streaming is not None
        self._streaming.press(key)

    def _emit(self, event_type: str, _: dict[str, Any]) -> None:
        self._opened = self._opened or event_type == "streaming.started"

    def _note_fault(self, family: str, name: str, **_: Any) -> None:
        self._cut = self._cut or (family, name) == ("socket", "cut")
        if (family, name) == ("start", "never"):
            assert self._line is not None
            self._line.speak_on()  # nobody listens, and yet the call has its end

    def _start_body(self, plan: StreamPlan) -> StartBody:
        return StartBody(
            user_id=self._ids["user_id"],
            call_control_id=f"v3:{self._ids['call_control_id']}",
            call_session_id=self._ids["call_session_id"],
            from_=_FROM,
            to=_TO,
            tags=[],
            client_state=None,
            custom_parameters=plan.custom_parameters,
            media_format=MediaFormat(plan.encoding, plan.clock_rate),
        )


def _first_loud(samples: Samples) -> int | None:
    loud = np.flatnonzero((samples > _LOUD) | (samples < -_LOUD))
    return int(loud[0]) if len(loud) else None
