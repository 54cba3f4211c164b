"""Telnyx's webhooks: trust first, then keep, then answer; what follows from them happens later.

A webhook without a valid, fresh signature changes nothing but a counter. Telnyx gives up on an answer after two
seconds and delivers again; it does so after 503 as well, and not after 400 or 403.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from aiohttp import web
from nacl.signing import VerifyKey
from structlog.typing import FilteringBoundLogger

from gateway.control.inbox import Inbox
from gateway.control.origins import Origins
from gateway.control.problems import problem
from gateway.control.taken import TakenAnswers
from gateway.errors import InboxFullError, RemoteProtocolError, SignatureError, StoreError
from gateway.protocol import signature
from gateway.protocol.events import parse_event

__all__ = ["MAX_WEBHOOK_BYTES", "WebhookReceiver"]

MAX_WEBHOOK_BYTES: Final = 1_048_576

_Refusal: TypeAlias = Literal["origin", "no_key", "too_large", "incomplete", "busy", "store"]

Reason: TypeAlias = signature.Reason | _Refusal
"""Why a webhook was refused: its signature; or where it comes from, no key is set, its body is no good, there is no
room, it cannot be kept."""

_REASONS: Final = (*get_args(signature.Reason), *get_args(_Refusal))


class WebhookReceiver:
    """Answers `POST /webhooks/telnyx`.

    Args:
        inbox: Gets the events that are trusted.
        keys: Public keys, any of which may have signed. Without one every webhook is refused.
        log: Gets one line for each refused webhook; never its body.
        origins: Who may deliver; anybody if None.
        clock: Unix time, in seconds.
        tolerance: How old, or how far ahead, a signature may be, in seconds.
        body_timeout: Seconds that a body may take to come in.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        keys: Sequence[VerifyKey],
        log: FilteringBoundLogger,
        origins: Origins | None = None,
        clock: Callable[[], float] = time.time,
        tolerance: float = 300.0,
        body_timeout: float = 10.0,
    ) -> None:
        self._inbox = inbox
        self._keys = keys
        self._log = log
        self._origins = origins
        self._clock = clock
        self._tolerance = tolerance
        self._body_timeout = body_timeout
        self._taken = TakenAnswers(clock)
        self._verified = 0
        self._refused: Counter[Reason] = Counter()

    def counters(self) -> dict[str, Any]:
        """What became of the webhooks so far; `webhooks_verified` counts the duplicates too."""
        return {
            "webhooks_verified": self._verified,
            "webhooks_refused": {reason: self._refused[reason] for reason in _REASONS},
            "webhooks_duplicated": self._inbox.duplicated,
            "webhooks_recovered": self._inbox.recovered,
            "webhooks_unkept": self._inbox.unkept,
            "webhooks_unreadable": self._inbox.unreadable,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one webhook.

        Returns:
            200 if it is safely kept, now or since before; 403 if it cannot be trusted, 400 if it is no webhook; 408,
            413 if its body did not come, or is too large; 503 if there is no room, or it cannot be kept.
        """
        if self._origins is not None and not self._origins.permits(
            request.remote, request.headers.getall("X-Forwarded-For", ())
        ):
            return self._refuse(request, 403, "origin", "webhooks do not come from there")
        if not self._keys:
            return self._refuse(request, 403, "no_key", "TELNYX_PUBLIC_KEY is not set, no webhook can be trusted")
        try:
            # Nearly always the body came in with its headers, and there is nothing to wait for.
            body = request.content.read_nowait() if request.content.is_eof() else await self._read(request)
            if len(body) > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(body))
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(request, 413, "too_large", f"the body has more than {request.client_max_size} octets")
        except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
            return self._refuse(request, 408, "incomplete", f"the body did not come in: {type(error).__name__}")
        try:
            signature.verify(body, request.headers, keys=self._keys, now=self._clock(), tolerance=self._tolerance)
        except SignatureError as error:
            return self._refuse(request, 403, error.reason, str(error))
        self._verified += 1
        try:
            await self._inbox.take(parse_event(body), body)
        except RemoteProtocolError as error:
            return self._refuse(request, 400, "malformed", str(error))
        except InboxFullError as error:
            return self._refuse(request, 503, "busy", str(error))
        except StoreError as error:
            return self._refuse(request, 503, "store", str(error))
        except Exception:  # noqa: BLE001 - a mistake of ours; Telnyx delivers again
            self._log.exception("webhook failed")
            return problem(500, "the gateway failed; see its log")
        return self._taken.answer(request)

    async def _read(self, request: web.Request) -> bytes:
        async with asyncio.timeout(self._body_timeout):
            return await request.read()

    def _refuse(self, request: web.Request, status: int, reason: Reason, error: str) -> web.Response:
        self._refused[reason] += 1
        self._log.warning("webhook refused", reason=reason, error=error, remote=request.remote)
        return problem(status, error)
