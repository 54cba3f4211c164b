"""A command that asks for a stream and does not say where to: it gets the gateway's own URL, and a token.

What the command says of the stream holds: its codec, its rate, its mode. What it does not say is as the settings say,
as for the streams that the gateway asks for by itself.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol, cast, get_args

from gateway.decision import Decision, Encoding
from gateway.protocol.commands import Answer, Command, Dial, StreamingStart

__all__ = ["StreamOffers", "asks_for_stream"]

_AUTH: Final = "stream_auth_token"
_RATE: Final = "stream_bidirectional_sampling_rate"


class StreamFields(Protocol):
    """Makes the fields of a stream that comes to this gateway, among them its token."""

    def __call__(self, call_control_id: str | None, decision: Decision) -> dict[str, Any]:
        """For a call, or, where it is None, for one that is being dialled."""


def asks_for_stream(command: Command) -> bool:
    """Whether a stream begins by the command, here or elsewhere."""
    if isinstance(command, StreamingStart):
        return True
    return isinstance(command, Dial | Answer) and _stream_fields(command) != set()


class StreamOffers:
    """Fills commands in.

    Args:
        fields: Makes what a command is filled in with.
        url: Gives the stream URL of this gateway.
    """

    def __init__(self, fields: StreamFields, url: Callable[[], str]) -> None:
        self._fields = fields
        self._url = url

    def fill_in(self, command: Command, call_control_id: str | None) -> tuple[Command, str | None]:
        """Give a command what it needs for its stream to come here.

        Args:
            command: Any.
            call_control_id: Its call; None for a dial.

        Returns:
            The command, as it was if it asks for no stream, or for one that goes elsewhere; and the token.
        """
        if not (isinstance(command, Dial | Answer | StreamingStart) and self._comes_here(command)):
            return command, None
        given = {name: getattr(command, name) for name in _stream_fields(command)}
        for name in ("stream_url", _AUTH):
            given.pop(name, None)
        filled = self._fields(call_control_id, _decision(given, answer=isinstance(command, Answer)))
        token = str(filled.get(_AUTH) or filled["stream_url"].partition("?")[0].rpartition("/")[2])
        if isinstance(command, Answer):  # it takes neither a token, which goes into the URL, nor a rate
            if filled.pop(_AUTH, None) is not None:
                url, question, query = filled["stream_url"].partition("?")
                filled["stream_url"] = f"{url.rstrip('/')}/{token}{question}{query}"
            filled.pop(_RATE, None)
        return command.model_copy(update=filled | given), token

    def _comes_here(self, command: Dial | Answer | StreamingStart) -> bool:
        if command.stream_url is None:
            elsewhere = not isinstance(command, Answer) and command.enable_dialogflow
            return asks_for_stream(command) and not elsewhere
        return command.stream_url == self._url() and getattr(command, _AUTH, None) is None


def _stream_fields(command: Command) -> set[str]:
    names = {name for name in command.model_fields_set if name.startswith("stream_")}
    names.discard("stream_establish_before_call_originate")
    return {name for name in names if getattr(command, name) is not None}


def _decision(given: dict[str, Any], *, answer: bool) -> Decision:
    """What the command says of the stream, in the words of a decision."""
    encoding = given.get("stream_bidirectional_codec")
    known: dict[str, Any] = {
        "codec": cast("Encoding", encoding) if encoding in get_args(Encoding) else None,
        "sample_rate": given.get(_RATE),
        "mode": given.get("stream_bidirectional_mode"),
        "track": given.get("stream_track"),
        "target_legs": given.get("stream_bidirectional_target_legs"),
    }
    if encoding is not None and known["sample_rate"] is None:
        known["sample_rate"] = 8000  # what Telnyx takes where nothing is said
    if answer:
        known["sample_rate"] = 8000
        known["codec"] = known["codec"] or "PCMU"
    return Decision(**{name: value for name, value in known.items() if value is not None})
