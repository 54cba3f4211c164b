"""Signed webhooks: delivered concurrently, each signed afresh at every attempt, again where that failed.

No webhook waits for another one's answer. So that they arrive in the order that life usually has, the next of a call
leaves when the one before was answered or 50 ms after it; Telnyx promises no order at all.

Tried again, with the same id and a higher `meta.attempt`: after 408, 429, 5xx, a timeout or a connection error. Other
answers are final. Telnyx's pages contradict each other about redirects: whether one is followed or counts as failure
is a switch. The delays between attempts are not documented, but for the policies that a command may bring.

Everything leaves through one `Post`: whoever wants webhooks late, twice, in another order, lost or with a wrong
signature puts a function of its own in the place of `HttpPost`.

Source: Telnyx, "Webhook Fundamentals", "Voice API Webhooks" and "Receiving Webhooks".
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import aiohttp
from nacl.signing import SigningKey

from gateway.protocol.signature import sign
from gateway.simulator.clock import Clock
from gateway.simulator.envelope import Event, write_body, write_query
from gateway.simulator.routing import Route, Target
from gateway.simulator.timeline import CallTimeline

__all__ = ["Courier", "Delivery", "HttpPost", "Outbox", "Post", "PostError", "WebhookRequest"]

_MAX_DELIVERIES: Final = 1000
_SPACING: Final = 0.05
_MAX_REDIRECTS: Final = 3


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One attempt, ready to go.

    Attributes:
        call_control_id: Of the call that it tells of.
        timeout: Seconds until the answer must be there.
    """

    call_control_id: str
    event_type: str
    attempt: int
    method: Literal["POST", "GET"]
    url: str
    headers: dict[str, str]
    body: bytes
    timeout: float


class PostError(Exception):
    """No answer came; the text says why."""


Post: TypeAlias = Callable[[WebhookRequest], Awaitable[int]]
"""Sends a request and returns the status of the answer, or raises `PostError`."""


class HttpPost:
    """Sends webhooks by HTTP.

    Args:
        session: Of the simulator.
        redirects: Whether a redirect is followed, up to three times, or counts as the answer.
    """

    def __init__(self, session: aiohttp.ClientSession, *, redirects: Literal["follow", "fail"] = "fail") -> None:
        self._session = session
        self._follow = redirects == "follow"

    async def __call__(self, request: WebhookRequest) -> int:
        """Send one; see `Post`."""
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(total=request.timeout),
                allow_redirects=self._follow,
                max_redirects=_MAX_REDIRECTS,
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise PostError(f"{type(error).__name__}: {error}") from error


class Delivery:
    """One event on its way to one listener, and what became of it.

    Attributes:
        attempts: How often it was sent.
        status: HTTP status of the last answer; None where none came.
        error: Why none came.
        first_over: Set when the first attempt has been answered or has failed.
    """

    def __init__(self, event: Event, target: Target) -> None:
        self.event = event
        self.target = target
        self.attempts = 0
        self.status: int | None = None
        self.error: str | None = None
        self.first_over = asyncio.Event()

    @property
    def delivered(self) -> bool:
        """Whether the application took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        """Whether another attempt may do better."""
        return self.status is None or self.status in (408, 429) or self.status >= 500

    def describe(self) -> dict[str, Any]:
        """What became of it, as JSON-ready values."""
        return {
            "event_type": self.event.event_type,
            "id": self.event.id,
            "url": self.target.url_of(max(1, self.attempts)),
            "attempts": self.attempts,
            "status": self.status,
            "delivered": self.delivered,
            "error": self.error,
        }


class Courier:
    """Signs webhooks and takes them to the post.

    Args:
        post: Sends them.
        key: What they are signed with.
        clock: Of the simulator.
    """

    def __init__(self, post: Post, key: SigningKey, clock: Clock) -> None:
        self.clock = clock
        self._post = post
        self._key = key

    async def deliver(self, delivery: Delivery, route: Route, timeline: CallTimeline) -> None:
        """Send it until it is taken, refused for good, or no attempt is left."""
        try:
            await self._attempt(delivery, route, timeline)
        finally:
            delivery.first_over.set()
        for delay in delivery.target.retry_delays:
            if not delivery.retryable:
                return
            await self.clock.sleep(delay)
            await self._attempt(delivery, route, timeline)

    async def _attempt(self, delivery: Delivery, route: Route, timeline: CallTimeline) -> None:
        delivery.attempts += 1
        request = self._write(delivery, route)
        sent = self.clock.now()
        try:
            delivery.status, delivery.error = await self._post(request), None
        except PostError as error:
            delivery.status, delivery.error = None, str(error)
        timeline.note(
            "webhook",
            event_type=request.event_type,
            id=delivery.event.id,
            url=delivery.target.url_of(delivery.attempts),
            attempt=request.attempt,
            status=delivery.status,
            error=delivery.error,
            took_ms=round(1000 * (self.clock.now() - sent), 1),
        )

    def _write(self, delivery: Delivery, route: Route) -> WebhookRequest:
        event, target, attempt = delivery.event, delivery.target, delivery.attempts
        url = target.url_of(attempt)
        if target.method == "POST":
            body = write_body(event, route.api_version, attempt=attempt, url=url)
        else:
            body, url = b"", write_query(event, route.api_version, url=url)
        headers = sign(body, key=self._key, now=self.clock.unix()) | {"User-Agent": "telnyx-webhooks"}
        if target.method == "POST":
            headers["Content-Type"] = "application/json"
        return WebhookRequest(
            call_control_id=str(event.payload.get("call_control_id", "")),
            event_type=event.event_type,
            attempt=attempt,
            method=target.method,
            url=url,
            headers=headers,
            body=body,
            timeout=route.timeout,
        )


class Outbox:
    """The webhooks of one call.

    Args:
        courier: Takes them away.
        route: Where they go; a command may change it.
        timeline: Of the call.

    Attributes:
        sent: All deliveries, oldest first.
    """

    def __init__(self, courier: Courier, route: Route, timeline: CallTimeline) -> None:
        self.route = route
        self.sent: list[Delivery] = []
        self._courier = courier
        self._timeline = timeline
        self._waiting: asyncio.Queue[tuple[Delivery, Route] | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Have it sent; a call with a thousand webhooks behind it sends no more, and its timeline says so."""
        for target in self.route.targets(event.event_type):
            if len(self.sent) >= _MAX_DELIVERIES:
                self._timeline.note("webhook", event_type=event.event_type, error="too many webhooks: not sent")
                return
            delivery = Delivery(event, target)
            self.sent.append(delivery)
            self._waiting.put_nowait((delivery, self.route))

    def close(self) -> None:
        """Let `run` end once everything is delivered or given up."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Deliver what is put in, until `close`."""
        async with asyncio.TaskGroup() as deliveries:
            while (waiting := await self._waiting.get()) is not None:
                delivery, route = waiting
                deliveries.create_task(
                    self._courier.deliver(delivery, route, self._timeline), name=f"webhook {delivery.event.event_type}"
                )
                timer = self._courier.clock.call_later(_SPACING, delivery.first_over.set)
                await delivery.first_over.wait()
                timer.cancel()
