"""Signed webhooks: delivered in order at the first attempt, and again where that failed.

A call's webhooks leave one after the other, each when the one before was answered or has timed out; calls do not wait
for each other, nor does a webhook for the retries of an earlier one. Telnyx promises no order at all; this is the
order that life usually has.

Tried again, with the same id, a higher `meta.attempt` and a fresh signature: after 408, 429, 5xx, a timeout or a
connection error. Other answers are final; a redirect counts as failure. The delays between attempts are not
documented.

Source: Telnyx, "Webhook Fundamentals" and "Receiving Webhooks".
"""

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from nacl.signing import SigningKey

from gateway.protocol.signature import sign
from gateway.simulator.leg import iso_time

__all__ = ["Outbox", "Webhook", "WebhookSender"]

_MAX_WEBHOOKS: Final = 1000


@dataclass(slots=True)
class Webhook:
    """One event and what became of it.

    Attributes:
        attempts: How often it was sent.
        status: HTTP status of the last answer; None where none came.
        error: Why none came.
    """

    event_type: str
    payload: dict[str, Any]
    occurred_at: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the application took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        """Whether another attempt may do better."""
        return self.status is None or self.status in (408, 429) or self.status >= 500

    def body(self, url: str) -> bytes:
        """The JSON to send to `url`, for the attempt that is counted."""
        data = {
            "record_type": "event",
            "event_type": self.event_type,
            "id": self.id,
            "occurred_at": iso_time(self.occurred_at),
            "payload": self.payload,
        }
        return json.dumps({"data": data, "meta": {"attempt": self.attempts, "delivered_to": url}}).encode()

    def describe(self) -> dict[str, Any]:
        """What became of it, as JSON-ready values."""
        return {
            "event_type": self.event_type,
            "id": self.id,
            "attempts": self.attempts,
            "status": self.status,
            "delivered": self.delivered,
            "error": self.error,
        }


class WebhookSender:
    """Signs and sends.

    Args:
        session: Of the simulator.
        key: What the webhooks are signed with.
        timeout: Seconds that the application has for its answer.
        retry_delays: Seconds before the second attempt, the third, and so on; there are no more.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        key: SigningKey,
        *,
        timeout: float = 2.0,
        retry_delays: Sequence[float] = (0.5, 1, 2, 4, 8),
    ) -> None:
        self._session = session
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._retry_delays = retry_delays

    async def attempt(self, webhook: Webhook, url: str) -> None:
        """Send it once and note what came of it."""
        webhook.attempts += 1
        body = webhook.body(url)
        headers = sign(body, key=self._key, now=time.time())
        headers |= {"Content-Type": "application/json", "User-Agent": "telnyx-webhooks"}
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                webhook.status, webhook.error = answer.status, None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            webhook.status, webhook.error = None, f"{type(error).__name__}: {error}"

    async def retry(self, webhook: Webhook, url: str) -> None:
        """Send it again until it is taken, refused for good, or the delays are used up."""
        for delay in self._retry_delays:
            await asyncio.sleep(delay)
            await self.attempt(webhook, url)
            if not webhook.retryable:
                return


class Outbox:
    """The webhooks of one call.

    Args:
        sender: What signs and sends.
        url: Where the call reports.
    """

    def __init__(self, sender: WebhookSender, url: str) -> None:
        self.sent: list[Webhook] = []
        self._sender = sender
        self._url = url
        self._waiting: asyncio.Queue[Webhook | None] = asyncio.Queue()

    def put(self, webhook: Webhook) -> None:
        """Have it sent; a call with a thousand webhooks behind it sends no more."""
        if len(self.sent) < _MAX_WEBHOOKS:
            self.sent.append(webhook)
            self._waiting.put_nowait(webhook)

    def close(self) -> None:
        """Let `run` end once everything is delivered or given up."""
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Deliver what is put in, until `close`."""
        async with asyncio.TaskGroup() as retries:
            while (webhook := await self._waiting.get()) is not None:
                await self._sender.attempt(webhook, self._url)
                if webhook.retryable:
                    retries.create_task(self._sender.retry(webhook, self._url), name=f"retry {webhook.event_type}")
