"""One leg as Telnyx sees it: who it is, how far it has come, and which command it may be given. No I/O, no clock.

    incoming   PARKED --answer--> ANSWERED --hangup--> ENDED
    outgoing   DIALING -answered-> ANSWERED
    (every state but the last goes to ENDED)

Commands are known by their names here, so that one which is younger than this file waits for an answer like most do.
What Telnyx documents of the states is two codes: 90034 before the answer, 90018 after the end. Undocumented, and
decided here: an incoming call may be bridged or transferred before it was answered, and is answered by it.
"""

import enum
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any, Final, Literal

from gateway.simulator.ending import Ending
from gateway.simulator.refusal import Refusal
from gateway.simulator.switches import Switches

__all__ = ["Leg", "LegState", "iso_time"]

_ALWAYS: Final = frozenset({"hangup", "client_state_update"})
_WHILE_PARKED: Final = frozenset({"answer", "reject", "bridge", "transfer"})


class LegState(enum.Enum):
    """How far the leg has come; the values are Telnyx's words."""

    PARKED = "parked"
    DIALING = "bridging"
    ANSWERED = "answered"
    ENDED = "hangup"


class Leg:
    """One party's part of a call.

    Args:
        from_: Who calls, E.164 or a SIP user.
        to: Who is called.
        connection_id: The application that the leg belongs to, decimal digits.
        now: Unix time, in seconds.
        direction: `incoming` where somebody calls the application, `outgoing` where it calls somebody.
        call_session_id: Of the legs that it belongs to; one of its own if None.
        switches: What Telnyx does not document.

    Attributes:
        stream_id: Of the stream that runs; None while there is none.
        forked: The stream type of the fork that runs; None while there is none.
        client_state: As the last command set it, base64.
        caller_id_name: What the called party is shown; None where it is `from_`.
        custom_headers: Of the INVITE: `name` and `value` each.
        ending: Why it ended; None while it lives.
        ended_at: When, in Unix time.
    """

    def __init__(
        self,
        *,
        from_: str,
        to: str,
        connection_id: str,
        now: float,
        direction: Literal["incoming", "outgoing"] = "incoming",
        call_session_id: str | None = None,
        switches: Switches | None = None,
    ) -> None:
        self.call_control_id = f"v3:{secrets.token_urlsafe(40)}"
        self.call_leg_id = str(uuid.uuid1())
        self.call_session_id = call_session_id or str(uuid.uuid1())
        self.connection_id = connection_id
        self.from_ = from_
        self.to = to
        self.direction = direction
        self.state = LegState.PARKED if direction == "incoming" else LegState.DIALING
        self.stream_id: str | None = None
        self.forked: str | None = None
        self.client_state: str | None = None
        self.caller_id_name: str | None = None
        self.custom_headers: list[dict[str, str]] = []
        self.ending: Ending | None = None
        self.ended_at: float | None = None
        self._started_at = now
        self._switches = switches or Switches()

    @property
    def hangup_cause(self) -> str | None:
        """Why it ended, in Telnyx's word; None while it lives."""
        return None if self.ending is None else self.ending.cause

    @property
    def hangup_source(self) -> str | None:
        """Who ended it, in Telnyx's word; None while it lives."""
        return None if self.ending is None else self.ending.source

    @property
    def own_side(self) -> str:
        """Which side of the call the application is: `callee` of an incoming one, `caller` of an outgoing one."""
        return "callee" if self.direction == "incoming" else "caller"

    @property
    def person_side(self) -> str:
        """Which side the person on the leg is."""
        return "caller" if self.direction == "incoming" else "callee"

    def check(self, action: str) -> None:
        """Whether a command may be given now.

        Raises:
            Refusal: 422, it may not.
        """
        match action, self.state:
            case _, LegState.ENDED:
                raise Refusal(422, "90018", "This call is no longer active and can't receive commands.")
            case "answer", _ if self.direction == "outgoing":
                raise Refusal(422, "90102", "Call answer command cannot be issued for outbound calls.")
            case (("answer" | "reject"), LegState.DIALING | LegState.ANSWERED):
                raise Refusal(422, "10027", f"{action} is for an incoming call that was not answered yet.")
            case _, LegState.ANSWERED:
                self._check_stream(action)
            case _, LegState.PARKED if action in _WHILE_PARKED:
                pass
            case _ if action not in _ALWAYS:
                raise Refusal(422, "90034", f"{action} can't be received before the call has been answered.")

    def check_fork_type(self, stream_type: str) -> None:
        """Whether this is the type of the fork that runs.

        Raises:
            Refusal: 422, it is not.
        """
        if stream_type != self.forked:
            detail = f"The fork is of type {self.forked!r}, not {stream_type!r}."
            raise Refusal(422, "10027", detail, pointer="/stream_type")

    def check_stream_id(self, stream_id: str | None) -> None:
        """Whether this is the stream that runs; None is any.

        Raises:
            Refusal: 422, it is not.
        """
        if stream_id not in (None, self.stream_id):
            raise Refusal(422, "90048", "The call has no such media stream.", pointer="/stream_id")

    def answer(self) -> None:
        """The call is taken; whoever was called has picked up."""
        assert self.state in (LegState.PARKED, LegState.DIALING), self.state
        self.state = LegState.ANSWERED

    def end(self, ending: Ending, *, now: float) -> None:
        """Hang up; the first ending stays."""
        if self.ending is None:
            self.state = LegState.ENDED
            self.ending = ending
            self.ended_at = now

    def _check_stream(self, action: str) -> None:
        if action == "streaming_start" and self.stream_id is not None and self._switches.second_stream == "refuse":
            raise Refusal(422, "90045", "The call has a media stream already.")
        if action == "fork_start" and self.stream_id is not None and self._switches.fork_while_streaming == "refuse":
            raise Refusal(422, "90045", "The call has a media stream.")
        if action == "fork_start" and self.forked is not None:
            raise Refusal(422, "10027", "The call is forked already.")
        if action == "fork_stop" and self.forked is None:
            raise Refusal(422, "90031", "The call is not forked.")
        if action == "streaming_stop" and self.stream_id is None:
            raise Refusal(422, "90048", "The call has no media stream.")

    def base(self) -> dict[str, Any]:
        """The fields that every webhook's payload has."""
        return {
            "call_control_id": self.call_control_id,
            "connection_id": self.connection_id,
            "call_leg_id": self.call_leg_id,
            "call_session_id": self.call_session_id,
            "client_state": self.client_state,
        }

    def parties(self) -> dict[str, Any]:
        """The base, and who calls whom: the payload of most `call.*` events."""
        return self.base() | {"from": self.from_, "to": self.to}

    def initiated_payload(self) -> dict[str, Any]:
        """The payload of `call.initiated`."""
        payload = self.call_payload() | {
            "direction": self.direction,
            "caller_id_name": self.caller_id_name or self.from_,
            "tags": [],
        }
        if self.direction == "incoming":
            payload |= {"connection_codecs": "PCMU", "offered_codecs": "PCMU"}
        return payload | {"custom_headers": self.custom_headers} if self.custom_headers else payload

    def call_payload(self) -> dict[str, Any]:
        """The payload of `call.answered` and `call.hangup`, and most of that of `call.initiated`."""
        payload = self.parties() | {"start_time": iso_time(self._started_at), "state": self.state.value}
        if self.ending is not None and self.ended_at is not None:
            payload |= {
                "end_time": iso_time(self.ended_at),
                "hangup_cause": self.ending.cause,
                "hangup_source": self.ending.source,
                "sip_hangup_cause": self.ending.sip,
            }
        return payload

    def status(self, *, now: float) -> dict[str, Any]:
        """What `GET /v2/calls/{call_control_id}` answers."""
        status = {
            "record_type": "call",
            "call_control_id": self.call_control_id,
            "call_leg_id": self.call_leg_id,
            "call_session_id": self.call_session_id,
            "client_state": self.client_state,
            "is_alive": self.ended_at is None,
            "call_duration": self.duration(now=now),
            "start_time": iso_time(self._started_at),
        }
        return status if self.ended_at is None else status | {"end_time": iso_time(self.ended_at)}

    def active(self, *, now: float) -> dict[str, Any]:
        """What a list of active calls says of it."""
        kept = ("record_type", "call_control_id", "call_leg_id", "call_session_id", "client_state", "call_duration")
        status = self.status(now=now)
        return {name: status[name] for name in kept}

    def duration(self, *, now: float) -> int:
        """How long the leg lived until now, in whole seconds."""
        return max(0, int((self.ended_at or now) - self._started_at))


def iso_time(unix: float) -> str:
    """Unix time as Telnyx writes it: ISO 8601 in UTC, with microseconds and a Z."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
