"""What a request of the API brings: an id in its path, and a body, both of them hostile."""

import asyncio
import re
from typing import Final

from aiohttp import web

from gateway.errors import GatewayError

__all__ = ["BodyError", "call_control_id_of", "read_body"]

_CALL_CONTROL_ID: Final = re.compile(r"[\x21-\x7e]{1,512}")


class BodyError(GatewayError):
    """A body is not taken.

    Attributes:
        status: Of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def call_control_id_of(request: web.Request) -> str | None:
    """The id in the path; None where none of Telnyx's can look like that, or it would lead to another path."""
    text = request.match_info["call_control_id"]
    return text if _CALL_CONTROL_ID.fullmatch(text) and text not in (".", "..") else None


async def read_body(request: web.Request, *, max_bytes: int, timeout: float = 30.0) -> bytes:
    """Read a body.

    Args:
        request: Not read yet.
        max_bytes: More is refused as soon as it is told, or has come.
        timeout: Seconds that it may take.

    Raises:
        BodyError: 413, it is larger; 408, it did not come in.
    """
    too_large = BodyError(413, f"the body has more than {max_bytes} octets")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    octets = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for piece in request.content.iter_any():
                octets += piece
                if len(octets) > max_bytes:
                    raise too_large
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        raise BodyError(408, f"the body did not come in: {type(error).__name__}") from error
    return bytes(octets)
