"""The Call Control client: sends one command, and again where an answer did not come.

Every attempt of a command carries the same `command_id`, and Telnyx ignores an id that came for the same call within
the last 60 seconds. So a command whose answer was lost can be sent again without acting twice.
"""

import asyncio
import random
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from gateway.errors import ConfigError, ControlError
from gateway.protocol.commands import Command, Hangup

__all__ = ["CALL_HAS_ENDED", "CallControl"]

CALL_HAS_ENDED: Final = "90018"
"""Telnyx's code for any command on a call that is over."""

_MAX_ANSWER_BYTES: Final = 65_536


class _Answer(NamedTuple):
    """What came back; status 0 and the reason in `failure` if nothing did."""

    status: int
    document: Any = None
    retry_after: float = 0.0  # seconds
    failure: str = ""


class CallControl:
    """Sends commands to Telnyx.

    Args:
        session: Its connections are used, and its limit on them holds.
        base_url: Including `/v2`.
        api_key: Sent with every command; stands in no error and no log line.
        timeout: Seconds that a command may take in all, with every attempt and pause. Less than 60, see above.
        attempt_timeout: Seconds after which an answer is given up and the command is sent again.
        attempts: How often a command is sent at most.
        first_pause: Seconds before the second attempt; doubles with each one, give or take a half.
        jitter: Where in that half a pause lies, 0 to 1.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        attempt_timeout: float = 3.0,
        attempts: int = 4,
        first_pause: float = 0.2,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ConfigError("TELNYX_API_KEY: want printable ASCII without spaces")
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._attempts = attempts
        self._first_pause = first_pause
        self._jitter = jitter

    async def command(self, call_control_id: str, command: Command) -> dict[str, Any]:
        """Send a command, and see it accepted.

        Args:
            call_control_id: Of the call; any text, it is escaped.
            command: Gets a `command_id` where it has none.

        Returns:
            The answer's `data`, usually `{"result": "ok"}`; empty where the answer had none, and for a hang-up of a
            call that is over already.

        Raises:
            ControlError: Refused, or no good answer came in time. The last answer's status and code are in it.
        """
        if command.command_id is None:
            command = command.model_copy(update={"command_id": str(uuid.uuid4())})
        path = f"/calls/{quote(call_control_id, safe='')}/actions/{command.action}"
        url = URL(self._base_url + path, encoded=True)
        body = msgspec.json.encode(command.body())
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout
        attempt = 1
        while True:
            answer = await self._post(url, body, timeout=min(self._attempt_timeout, deadline - clock()))
            if 200 <= answer.status < 300:
                return _data(answer.document)
            error = self._error(command.action, answer)
            if error.code == CALL_HAS_ENDED and isinstance(command, Hangup):
                return {}
            pause = max(self._pause(attempt), answer.retry_after)
            if not error.retryable or attempt == self._attempts or clock() + pause >= deadline:
                raise error
            await asyncio.sleep(pause)
            attempt += 1

    async def _post(self, url: URL, body: bytes, *, timeout: float) -> _Answer:
        headers = {"Authorization": f"Bearer {self._api_key}", "Content-Type": "application/json"}
        try:
            # A redirect is not followed: it would carry the key to somewhere else.
            async with (
                asyncio.timeout(timeout),
                self._session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                document = _document(await _read(response))
                return _Answer(response.status, document, _retry_after(response.headers.get("Retry-After", "")))
        except TimeoutError:
            return _Answer(0, failure=f"no answer within {timeout:.1f} s")
        except (aiohttp.ClientError, OSError) as error:
            return _Answer(0, failure=f"no answer: {type(error).__name__}: {error}"[:300])

    def _pause(self, attempt: int) -> float:
        return self._first_pause * 2.0 ** (attempt - 1) * (0.5 + self._jitter())

    def _error(self, action: str, answer: _Answer) -> ControlError:
        code, title, detail = _first_error(answer.document)
        text = f"{action}: {answer.failure or f'HTTP {answer.status}'}"
        text = " ".join(part for part in (text, code, title) if part)
        text = f"{text}: {detail}" if detail else text
        return ControlError(text.replace(self._api_key, "***"), status=answer.status, code=code)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, up to a bound; what is longer is no answer of Telnyx, and is cut."""
    octets = b""
    async for piece in response.content.iter_chunked(_MAX_ANSWER_BYTES):
        octets += piece
        if len(octets) > _MAX_ANSWER_BYTES:
            break
    return octets[:_MAX_ANSWER_BYTES]


def _document(octets: bytes) -> Any:
    try:
        return msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None  # the status has told enough; proxies answer in HTML


def _data(document: Any) -> dict[str, Any]:
    data = document.get("data") if isinstance(document, dict) else None
    return data if isinstance(data, dict) else {}


def _first_error(document: Any) -> tuple[str, str, str]:
    """Code, title and detail of Telnyx's first error; empty where there is none. Bounded: they are shown."""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return "", "", ""
    code, title, detail = (str(first.get(name) or "") for name in ("code", "title", "detail"))
    return code[:20], title[:200], detail[:500]


def _retry_after(text: str) -> float:
    """Seconds to wait; 0 for the form with a date, which Telnyx is not known to use."""
    return float(text) if len(text) <= 9 and text.isascii() and text.isdigit() else 0.0
