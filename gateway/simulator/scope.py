"""What the simulator does not simulate: it says so with 501, and never pretends."""

from typing import Final

from gateway.protocol.commands import Command
from gateway.simulator.refusal import Refusal

__all__ = ["not_simulated", "refuse_unsimulated"]

_FIELDS: Final = (
    "assistant",
    "audio_url",
    "conference_config",
    "conversation_relay_config",
    "deepfake_detection",
    "enable_dialogflow",
    "media_name",
    "queue",
    "record",
    "send_digits_on_answer",
    "sound_modifications",
    "supervise_call_control_id",
    "transcription",
    "video_room_id",
)
"""Fields of several commands that ask for something to happen which does not happen here.

What is not on this list and not simulated changes nothing that could be seen from outside: SIP transport, codecs that
are preferred, billing, encryption.
"""


def not_simulated(what: str, *, pointer: str | None = None) -> Refusal:
    """501 in Telnyx's shape, which its own packages do not try again."""
    return Refusal(
        501,
        "10007",
        f"The simulator does not simulate {what} yet.",
        pointer=pointer,
        headers={"x-should-retry": "false"},
    )


def refuse_unsimulated(command: Command) -> None:
    """Look whether a command asks for something that would not happen.

    Raises:
        Refusal: 501, naming the field.
    """
    for name in _FIELDS:
        value = getattr(command, name, None)
        if getattr(value, "enabled", value) not in (None, False):  # an object may say that it is meant to be off
            raise not_simulated(f"{name!r} of {command.action!r}", pointer=f"/{name}")
