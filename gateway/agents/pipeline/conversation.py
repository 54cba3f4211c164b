"""The conversation as the model is told it: of what the agent said, no more than the caller has heard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from gateway.agents.pipeline.chat import Message, ToolCall
from gateway.agents.pipeline.speaking import Sentence

__all__ = ["Conversation", "Said"]

_MAX_ENTRIES: Final = 200


@dataclass(slots=True)
class Said:
    """What the agent said in one go, and which tools it called behind that.

    Attributes:
        sentences: In their order.
        calls: Of tools, with what came of each, as JSON.
    """

    sentences: list[Sentence] = field(default_factory=list)
    calls: list[tuple[ToolCall, str]] = field(default_factory=list)

    def heard(self) -> str:
        """What of it the caller has heard."""
        return " ".join(words for sentence in self.sentences if (words := sentence.heard()))

    def messages(self) -> list[Message]:
        """The same for the model; none if nothing came of it."""
        text = self.heard()
        if not self.calls:
            return [{"role": "assistant", "content": text}] if text else []
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call, _ in self.calls
        ]
        results = [{"role": "tool", "tool_call_id": call.id, "content": result} for call, result in self.calls]
        return [{"role": "assistant", "content": text or None, "tool_calls": calls}, *results]


_Entry: TypeAlias = str | Said


class Conversation:
    """What was said on both sides.

    Args:
        instructions: What the model is told first.
    """

    def __init__(self, instructions: str) -> None:
        self._instructions = instructions
        self._entries: list[_Entry] = []

    def user_said(self, text: str) -> None:
        """The caller has said something."""
        self._add(text)

    def agent_says(self) -> Said:
        """The agent begins to say something; what, and how much of it is heard, is entered there."""
        said = Said()
        self._add(said)
        return said

    def messages(self) -> list[Message]:
        """All of it, with what was heard until now."""
        messages: list[Message] = []
        for entry in self._entries:
            if isinstance(entry, Said):
                messages += entry.messages()
            elif messages and messages[-1]["role"] == "user":  # the agent had not been heard in between
                messages[-1] = _user(f"{messages[-1]['content']} {entry}")
            else:
                messages.append(_user(entry))
        return [*self._system(), *messages]

    def _system(self) -> Sequence[Message]:
        return [{"role": "system", "content": self._instructions}] if self._instructions else []

    def _add(self, entry: _Entry) -> None:
        self._entries.append(entry)
        del self._entries[:-_MAX_ENTRIES]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
