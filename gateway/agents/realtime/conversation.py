"""What a conversation has come to, kept so that another session can go on with it."""

from collections import deque
from typing import Final, Literal

from gateway.agents.realtime.events import append, encode, message_item

__all__ = ["Conversation"]

_MAX_TURNS: Final = 60
_MAX_TURN: Final = 1000  # characters
_MAX_FRAMES: Final = 1000  # twenty seconds


class Conversation:
    """The turns that are known in words, and the sound of the caller that nobody has answered yet.

    The oldest of both is forgotten, sound that is older than twenty seconds.

    Args:
        octets_per_ms: Of the sound, as it is sent.
    """

    def __init__(self, octets_per_ms: int) -> None:
        self._turns: deque[tuple[Literal["user", "assistant"], str]] = deque(maxlen=_MAX_TURNS)
        self._sound: deque[bytes] = deque()
        self._octets_per_ms = octets_per_ms
        self._begin = 0  # of the sound that is kept: its place in all that was sent in this session, in octets
        self._committed = 0  # so much of that belongs to utterances that have ended

    @property
    def begun(self) -> bool:
        """Whether anything was said that is known in words."""
        return bool(self._turns)

    def sent(self, payload: bytes) -> None:
        """A frame of the caller goes to the model."""
        if len(self._sound) == _MAX_FRAMES:
            self._begin += len(self._sound.popleft())
        self._sound.append(payload)

    def utterance_ended(self, audio_end_ms: int) -> None:
        """The model's service has heard the end of an utterance there, on the time line of the session."""
        self._committed = audio_end_ms * self._octets_per_ms

    def answered(self) -> None:
        """The last utterance was answered, or is known in words."""
        while self._sound and self._begin + len(self._sound[0]) <= self._committed:
            self._begin += len(self._sound.popleft())

    def note(self, role: Literal["user", "assistant"], text: str, *, share: float = 1.0) -> None:
        """Somebody said something, and so much of it was heard."""
        text = text.strip()[:_MAX_TURN]
        text = text if share >= 1 else text[: round(share * len(text))]
        if text:
            self._turns.append((role, text))

    def cut(self, text: str, share: float) -> None:
        """Of what the model said last, only a share was heard."""
        if self._turns and self._turns[-1] == ("assistant", text.strip()[:_MAX_TURN]):
            self._turns.pop()
            self.note("assistant", text, share=share)

    def retell(self) -> list[str]:
        """All of it as events for a new session; what waits for an answer comes last, and asks for it."""
        self._begin = self._committed = 0
        told = [message_item(role, text) for role, text in self._turns]
        if self._turns and self._turns[-1][0] == "user":
            told.append(encode(type="response.create"))
        return told + [append(payload) for payload in self._sound]
