"""WebSocket fragments to whole texts: RFC 6455 section 5.4, and 8.1 for the UTF-8.

Transports deliver fragments as they come and check no UTF-8, so this stands behind each of them.
"""

from gateway.errors import RemoteProtocolError
from gateway.server.transport import CloseCode

__all__ = ["MessageAssembler", "MessageError"]


class MessageError(RemoteProtocolError):
    """The message cannot be taken; `code` is what to close the socket with."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class MessageAssembler:
    """Collects the fragments of one text at a time.

    Args:
        max_bytes: Longest text, in octets.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def push(self, payload: bytes, *, final: bool) -> bytes | None:
        """Take the next fragment of a text message.

        Args:
            payload: Its octets, unmasked.
            final: It is the last of its message.

        Returns:
            The whole text, UTF-8 for certain; None while there is more to come.

        Raises:
            MessageError: Too long (1009) or not UTF-8 (1007).
        """
        self._size += len(payload)
        if self._size > self._max_bytes:
            raise MessageError(CloseCode.MESSAGE_TOO_BIG, f"message exceeds {self._max_bytes} octets")
        if not final:
            self._parts.append(payload)
            return None
        if self._parts:
            payload = b"".join((*self._parts, payload))
            self._parts.clear()
        self._size = 0
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise MessageError(CloseCode.INVALID_DATA, f"not UTF-8 at octet {error.start}") from error
        return payload
