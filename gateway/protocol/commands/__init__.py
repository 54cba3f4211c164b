"""The Call Control commands: one model each, with the fields, defaults and limits that Telnyx documents.

A model is what an application fills in, what the client sends, and what the simulator checks. Only what was set is
sent: the documented defaults stand here to be read, and are Telnyx's to apply.

What we make ourselves is strict: a field that a model does not name is refused. What an application hands on as JSON
is read by `parse_command`, which keeps such a field and sends it as it is, so that a field younger than this file
works. Either way a known field with a wrong value is refused before anything leaves.

To add a command, write its model in the file of its family and name it in `COMMANDS`.

Source: Telnyx's OpenAPI description, version of July 2026, and its Python package 4.189.0 where that is newer.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from gateway.errors import MalformedCommandError
from gateway.protocol.commands.ai import (
    AiAssistantAddMessages,
    AiAssistantJoin,
    AiAssistantStart,
    AiAssistantStop,
    GatherUsingAi,
)
from gateway.protocol.commands.base import Command, Model, NameValue
from gateway.protocol.commands.call import Answer, Dial, Hangup, Reject
from gateway.protocol.commands.connect import Bridge, Enqueue, LeaveQueue, Refer, Transfer
from gateway.protocol.commands.gather import Gather, GatherStop, GatherUsingAudio, GatherUsingSpeak
from gateway.protocol.commands.leg import ClientStateUpdate, SendDtmf, SendSipInfo, SwitchSupervisorRole
from gateway.protocol.commands.media import (
    ForkStart,
    ForkStop,
    SiprecStart,
    SiprecStop,
    StreamingStart,
    StreamingStop,
    SuppressionStart,
    SuppressionStop,
)
from gateway.protocol.commands.options import RetriesPolicy, SipHeader
from gateway.protocol.commands.playback import PlaybackStart, PlaybackStop, Speak
from gateway.protocol.commands.recording import RecordPause, RecordResume, RecordStart, RecordStop
from gateway.protocol.commands.refusal import refusals
from gateway.protocol.commands.relay import ConversationRelayStart, ConversationRelayStop
from gateway.protocol.commands.transcription import TranscriptionStart, TranscriptionStop

__all__ = [
    "COMMANDS",
    "AiAssistantAddMessages",
    "AiAssistantJoin",
    "AiAssistantStart",
    "AiAssistantStop",
    "Answer",
    "Bridge",
    "ClientStateUpdate",
    "Command",
    "ConversationRelayStart",
    "ConversationRelayStop",
    "Dial",
    "Enqueue",
    "ForkStart",
    "ForkStop",
    "Gather",
    "GatherStop",
    "GatherUsingAi",
    "GatherUsingAudio",
    "GatherUsingSpeak",
    "Hangup",
    "LeaveQueue",
    "Model",
    "NameValue",
    "PlaybackStart",
    "PlaybackStop",
    "RecordPause",
    "RecordResume",
    "RecordStart",
    "RecordStop",
    "Refer",
    "Reject",
    "RetriesPolicy",
    "SendDtmf",
    "SendSipInfo",
    "SipHeader",
    "SiprecStart",
    "SiprecStop",
    "Speak",
    "StreamingStart",
    "StreamingStop",
    "SuppressionStart",
    "SuppressionStop",
    "SwitchSupervisorRole",
    "TranscriptionStart",
    "TranscriptionStop",
    "Transfer",
    "parse_command",
    "refusals",
]

COMMANDS: Final[dict[str, type[Command]]] = {
    command.action: command
    for command in (
        # The call.
        Dial,
        Answer,
        Hangup,
        Reject,
        Bridge,
        Transfer,
        Refer,
        Enqueue,
        LeaveQueue,
        ClientStateUpdate,
        SendDtmf,
        SendSipInfo,
        SwitchSupervisorRole,
        # Its sound.
        StreamingStart,
        StreamingStop,
        ForkStart,
        ForkStop,
        SiprecStart,
        SiprecStop,
        SuppressionStart,
        SuppressionStop,
        PlaybackStart,
        PlaybackStop,
        Speak,
        RecordStart,
        RecordStop,
        RecordPause,
        RecordResume,
        # What is said and pressed.
        Gather,
        GatherStop,
        GatherUsingAudio,
        GatherUsingSpeak,
        GatherUsingAi,
        TranscriptionStart,
        TranscriptionStop,
        AiAssistantStart,
        AiAssistantStop,
        AiAssistantAddMessages,
        AiAssistantJoin,
        ConversationRelayStart,
        ConversationRelayStop,
    )
}
"""Every command by its action; the model tells its `method` and its `path`."""


def parse_command(action: str, body: bytes | Mapping[str, Any]) -> Command:
    """Read a command's body as somebody else wrote it: fields that are not known are kept.

    Args:
        action: One of `COMMANDS`.
        body: JSON, where nothing at all counts as `{}`; or what was read from it.

    Raises:
        KeyError: No such command.
        MalformedCommandError: A field that is known is wrong, or missing.
    """
    model = COMMANDS[action]
    try:
        if isinstance(body, bytes):
            return model.model_validate_json(body or b"{}", extra="allow", by_alias=True, by_name=False)
        return model.model_validate(dict(body), extra="allow", by_alias=True, by_name=False)
    except ValidationError as error:
        raise MalformedCommandError(action, refusals(error)) from error
