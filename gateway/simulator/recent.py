"""Commands that came a moment ago, by their `command_id`: the same id again does nothing.

What Telnyx answers to such a repetition is not documented; here it is what the first one was answered.

Source: Telnyx, "Receiving Webhooks for Programmable Voice": duplicates within 60 seconds are ignored.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

__all__ = ["RecentCommands"]

_WINDOW: Final = 60.0
_MAX_COMMANDS: Final = 1000


class RecentCommands:
    """The commands of one call, or the dials of one account; of more than a thousand the oldest is forgotten."""

    def __init__(self) -> None:
        self._results: OrderedDict[bytes, tuple[float, dict[str, Any]]] = OrderedDict()

    def result(self, command_id: str | None, *, now: float) -> dict[str, Any] | None:
        """What the command with this id was answered within the last 60 seconds; None where there is none."""
        known = None if command_id is None else self._results.get(_key(command_id))
        if known is None:
            return None
        came, result = known
        return result if now - came < _WINDOW else None

    def remember(self, command_id: str | None, result: dict[str, Any], *, now: float) -> None:
        """Keep the answer of a command that was carried out."""
        if command_id is None:
            return
        key = _key(command_id)
        self._results.pop(key, None)
        self._results[key] = (now, result)
        if len(self._results) > _MAX_COMMANDS:
            self._results.popitem(last=False)


def _key(command_id: str) -> bytes:
    """As long as any other, whatever was sent."""
    return hashlib.sha256(command_id.encode(errors="surrogatepass")).digest()
