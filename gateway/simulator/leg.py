"""One leg as Telnyx sees it: who it is, how far it has come, and which command it may be given. No I/O, no clock.

    PARKED --answer--> ANSWERED --hangup--> ENDED
       '----------------hangup----------------^

A stream is possible while the leg is answered, one at a time.
"""

import enum
import secrets
import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final

from gateway.protocol.commands import Answer, Command, Hangup, StreamingStart, StreamingStop
from gateway.simulator.refusal import Refusal

__all__ = ["Leg", "LegState", "iso_time"]

_DUPLICATE_WINDOW: Final = 60.0
_MAX_COMMAND_IDS: Final = 1000


class LegState(enum.Enum):
    """How far the leg has come; the values are Telnyx's words for an incoming call."""

    PARKED = "parked"
    ANSWERED = "answered"
    ENDED = "hangup"


class Leg:
    """An incoming call's leg.

    Args:
        from_: The caller, E.164 or a SIP user.
        to: The number that was called.
        connection_id: The application that the number belongs to, decimal digits.
        now: Unix time, in seconds.

    Attributes:
        stream_id: Of the stream that runs; None while there is none.
        client_state: As the last command set it, base64.
    """

    def __init__(self, *, from_: str, to: str, connection_id: str, now: float) -> None:
        self.call_control_id = f"v3:{secrets.token_urlsafe(40)}"
        self.call_leg_id = str(uuid.uuid1())
        self.call_session_id = str(uuid.uuid1())
        self.connection_id = connection_id
        self.from_ = from_
        self.to = to
        self.state = LegState.PARKED
        self.stream_id: str | None = None
        self.client_state: str | None = None
        self.hangup_cause: str | None = None
        self.hangup_source: str | None = None
        self._started_at = now
        self._ended_at: float | None = None
        self._command_ids: OrderedDict[str, float] = OrderedDict()

    def receive_command(self, command: Command, *, now: float) -> bool:
        """Take a command and change state by it.

        Args:
            command: Its fields are checked already.
            now: Unix time, in seconds.

        Returns:
            False for one to be ignored, as its `command_id` came within the last 60 seconds.

        Raises:
            Refusal: The command is not allowed now; nothing has changed.
        """
        command_id = command.command_id
        if command_id is not None and now - self._command_ids.get(command_id, -_DUPLICATE_WINDOW) < _DUPLICATE_WINDOW:
            return False
        self._check(command)
        if command_id is not None:
            self._command_ids[command_id] = now
            if len(self._command_ids) > _MAX_COMMAND_IDS:
                self._command_ids.popitem(last=False)
        if command.client_state is not None:
            self.client_state = command.client_state
        if isinstance(command, Answer):
            self.state = LegState.ANSWERED
        return True

    def end(self, cause: str, source: str, *, now: float) -> None:
        """Hang up; the first cause stays."""
        if self.state is not LegState.ENDED:
            self.state = LegState.ENDED
            self.hangup_cause = cause
            self.hangup_source = source
            self._ended_at = now

    def _check(self, command: Command) -> None:
        match command, self.state:
            case _, LegState.ENDED:
                raise Refusal(422, "90018", "This call is no longer active and can't receive commands.")
            case Answer(), LegState.ANSWERED:
                raise Refusal(422, "10027", "The call has been answered already.")
            case ((Answer() | Hangup()), _):
                pass
            case _, LegState.PARKED:
                raise Refusal(422, "90034", f"{command.action} needs an answered call.")
            case StreamingStart(), _ if self.stream_id is not None:
                raise Refusal(422, "90045", "The call has a media stream already.")
            case StreamingStop(), _ if self.stream_id is None:
                raise Refusal(422, "90048", "The call has no media stream.")
            case StreamingStop(), _ if command.stream_id not in (None, self.stream_id):
                raise Refusal(422, "90048", "The call has no such media stream.", pointer="/stream_id")

    def base(self) -> dict[str, Any]:
        """The fields that every webhook's payload has."""
        return {
            "call_control_id": self.call_control_id,
            "connection_id": self.connection_id,
            "call_leg_id": self.call_leg_id,
            "call_session_id": self.call_session_id,
            "client_state": self.client_state,
        }

    def call_payload(self) -> dict[str, Any]:
        """The payload of a `call.*` event, as far as the state tells it."""
        payload = self.base() | {
            "from": self.from_,
            "to": self.to,
            "start_time": iso_time(self._started_at),
            "state": self.state.value,
        }
        if self._ended_at is not None:
            payload |= {
                "end_time": iso_time(self._ended_at),
                "hangup_cause": self.hangup_cause,
                "hangup_source": self.hangup_source,
                "sip_hangup_cause": "200" if self.hangup_cause == "normal_clearing" else "unspecified",
            }
        return payload

    def status(self, *, now: float) -> dict[str, Any]:
        """What `GET /v2/calls/{call_control_id}` answers."""
        return self.base() | {
            "record_type": "call",
            "is_alive": self.state is not LegState.ENDED,
            "call_duration": int((self._ended_at or now) - self._started_at),
            "start_time": iso_time(self._started_at),
            "end_time": None if self._ended_at is None else iso_time(self._ended_at),
        }


def iso_time(unix: float) -> str:
    """Unix time as Telnyx writes it: ISO 8601 in UTC, with microseconds and a Z."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
