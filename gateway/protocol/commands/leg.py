"""The small commands on one leg: what is signalled to its far end, and what is noted of it."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from gateway.protocol.commands.base import Base64, Command

__all__ = ["ClientStateUpdate", "SendDtmf", "SendSipInfo", "SwitchSupervisorRole"]

Digits: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[0-9A-DwW*#]*$")]


class ClientStateUpdate(Command):
    """Set the `client_state`, and do nothing else."""

    action = "client_state_update"
    method = "PUT"

    command_id: ClassVar[None] = None  # type: ignore[misc]  # takes none
    client_state: Base64 = Field(repr=False)


class SendDtmf(Command):
    """Press keys; `w` is half a second of silence, `W` a whole one."""

    action = "send_dtmf"

    digits: Digits
    duration_millis: int = Field(250, ge=100, le=500)  # of each tone


class SendSipInfo(Command):
    """Send a SIP INFO message."""

    action = "send_sip_info"

    content_type: str = Field(min_length=1)
    body_: str = Field(alias="body")


class SwitchSupervisorRole(Command):
    """Change how a supervisor takes part: `barge` talks to both, `whisper` to one, `monitor` to none."""

    action = "switch_supervisor_role"

    command_id: ClassVar[None] = None  # type: ignore[misc]  # takes none
    client_state: ClassVar[None] = None  # type: ignore[misc]  # takes none
    role: Literal["barge", "whisper", "monitor"]
