"""Telnyx's webhooks: trust first, then remember, then answer; what follows from them happens later.

A webhook without a valid, fresh signature changes nothing but a counter. Telnyx gives up on an answer after two
seconds and delivers again, and may deliver twice anyway: an id is remembered as soon as its event is taken, and not
before, so that a forged or refused webhook cannot keep the true one out.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from aiohttp import web
from nacl.signing import VerifyKey
from structlog.typing import FilteringBoundLogger

from gateway.control.dispatcher import EventDispatcher
from gateway.control.problems import problem
from gateway.errors import RemoteProtocolError, SignatureError
from gateway.protocol import signature
from gateway.protocol.events import parse_event

__all__ = ["MAX_WEBHOOK_BYTES", "WebhookReceiver"]

MAX_WEBHOOK_BYTES: Final = 1_048_576

Reason: TypeAlias = signature.Reason | Literal["no_key", "too_large", "incomplete", "busy"]
"""Why a webhook was refused: its signature; or no key is set, its body is no good, there is no room."""

_REASONS: Final = (*get_args(signature.Reason), "no_key", "too_large", "incomplete", "busy")


class WebhookReceiver:
    """Answers `POST /webhooks/telnyx`.

    Args:
        dispatcher: Gets the events that are new and trusted.
        keys: Public keys, any of which may have signed. Without one every webhook is refused.
        log: Gets one line for each refused webhook; never its body.
        clock: Unix time, in seconds.
        tolerance: How old, or how far ahead, a signature may be, in seconds.
        remember: How many ids to remember; the oldest are forgotten first.
        body_timeout: Seconds that a body may take to come in.
    """

    def __init__(
        self,
        dispatcher: EventDispatcher,
        *,
        keys: Sequence[VerifyKey],
        log: FilteringBoundLogger,
        clock: Callable[[], float] = time.time,
        tolerance: float = 300.0,
        remember: int = 10_000,
        body_timeout: float = 10.0,
    ) -> None:
        self._dispatcher = dispatcher
        self._keys = keys
        self._log = log
        self._clock = clock
        self._tolerance = tolerance
        self._remember = remember
        self._body_timeout = body_timeout
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._verified = 0
        self._duplicated = 0
        self._refused: Counter[Reason] = Counter()

    def counters(self) -> dict[str, Any]:
        """What became of the webhooks so far; `webhooks_verified` counts the duplicates too."""
        return {
            "webhooks_verified": self._verified,
            "webhooks_refused": {reason: self._refused[reason] for reason in _REASONS},
            "webhooks_duplicated": self._duplicated,
            "webhooks_failed": self._dispatcher.failed,
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Take one webhook.

        Returns:
            200 if it was taken now or before, 403 if it cannot be trusted, 400 if it is no webhook; 408, 413 if its
            body did not come, or is too large; 503 if there is no room, whereupon Telnyx delivers it again.
        """
        if not self._keys:
            return self._refuse(request, 403, "no_key", "TELNYX_PUBLIC_KEY is not set, no webhook can be trusted")
        try:
            async with asyncio.timeout(self._body_timeout):
                body = await request.read()
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
            event = parse_event(body)
        except RemoteProtocolError as error:
            return self._refuse(request, 400, "malformed", str(error))
        if event.id in self._seen:
            self._duplicated += 1
        elif self._dispatcher.submit(event):
            self._note(event.id)
        else:
            return self._refuse(request, 503, "busy", f"{self._dispatcher.pending} events are waiting")
        return web.Response()

    def _note(self, event_id: str) -> None:
        self._seen[event_id] = None
        if len(self._seen) > self._remember:
            self._seen.popitem(last=False)

    def _refuse(self, request: web.Request, status: int, reason: Reason, error: str) -> web.Response:
        self._refused[reason] += 1
        self._log.warning("webhook refused", reason=reason, error=error, remote=request.remote)
        return problem(status, error)
