"""What Telnyx's API answers to a command, and the error that an answer means."""

import json
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec

from gateway.control.retry import retry_after
from gateway.errors import (
    AuthenticationError,
    CallEndedError,
    ControlError,
    InvalidCommandError,
    RateLimitError,
    UnavailableError,
    UnknownCallError,
)

__all__ = ["CALL_HAS_ENDED", "Answer", "Forwarded", "control_error", "read_answer", "read_at_most"]

CALL_HAS_ENDED: Final = "90018"
"""Telnyx's code for any command on a call that is over."""

_MAX_BYTES: Final = 65_536

_ERRORS: Final[dict[int, type[ControlError]]] = {
    0: UnavailableError,
    400: InvalidCommandError,
    401: AuthenticationError,
    403: AuthenticationError,
    404: UnknownCallError,
    408: UnavailableError,
    422: InvalidCommandError,
    429: RateLimitError,
}


class Answer(NamedTuple):
    """What came back; status 0 and the reason in `failure` if nothing did."""

    status: int
    document: Any = None
    wait: float = 0.0  # seconds until the next attempt, as the answer asks for
    failure: str = ""
    arrived: bool = True  # False where the request surely did not get there

    @property
    def data(self) -> dict[str, Any]:
        """The answer's `data`; empty where it has none."""
        data = self.document.get("data") if isinstance(self.document, dict) else None
        return data if isinstance(data, dict) else {}


class Forwarded(NamedTuple):
    """An answer that is passed on as it came."""

    status: int
    body: bytes
    content_type: str


async def read_answer(response: aiohttp.ClientResponse, *, now: float) -> Answer:
    """Read an answer, up to a bound: what is longer is none of Telnyx's, and is cut.

    Args:
        response: Its body is read.
        now: Unix time.
    """
    try:
        document = msgspec.json.decode((await _read(response, _MAX_BYTES))[:_MAX_BYTES])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        document = None  # the status has told enough; proxies answer in HTML
    return Answer(response.status, document, retry_after(response.headers, now=now))


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body whole.

    Raises:
        UnavailableError: It has more octets than the limit.
    """
    octets = await _read(response, limit)
    if len(octets) > limit:
        raise UnavailableError(f"the answer has more than {limit} octets")
    return octets


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body, and stop soon after the limit."""
    octets = bytearray()
    async for piece in response.content.iter_chunked(65_536):
        octets += piece
        if len(octets) > limit:
            break
    return bytes(octets)


def control_error(action: str, answer: Answer, *, secret: str) -> ControlError:
    """Make the error of an answer that is no success.

    Args:
        action: The command's name.
        answer: What came back.
        secret: Is blotted out, should the answer repeat it.
    """
    code, title, detail = (text.replace(secret, "***") for text in _first_error(answer.document))
    failure = answer.failure.replace(secret, "***") or f"HTTP {answer.status}"
    words = " ".join(part for part in (f"{action}: {failure}", code, title) if part)
    if code == CALL_HAS_ENDED:
        kind: type[ControlError] = CallEndedError
    else:
        kind = _ERRORS.get(answer.status, UnavailableError if answer.status >= 500 else ControlError)
    return kind(
        f"{words}: {detail}" if detail else words,
        status=answer.status,
        code=code,
        title=title,
        detail=detail,
        errors=_all_errors(answer.document, secret=secret),
    )


def _first_error(document: Any) -> tuple[str, str, str]:
    """Code, title and detail of Telnyx's first error; empty where there is none. Bounded: they are shown."""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", "", ""
    code, title, detail = (str(first.get(name) or "") for name in ("code", "title", "detail"))
    return code[:20], title[:200], detail[:500]


def _all_errors(document: Any, *, secret: str) -> list[dict[str, Any]]:
    """Telnyx's errors whole, for those who asked by the gateway; the secret is blotted out of them."""
    errors = document.get("errors") if isinstance(document, dict) else None
    found = [error for error in errors[:20] if isinstance(error, dict)] if isinstance(errors, list) else []
    kept: list[dict[str, Any]] = json.loads(json.dumps(found).replace(json.dumps(secret)[1:-1], "***"))
    return kept
