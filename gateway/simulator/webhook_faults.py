"""Faults of webhooks: what stands between the courier and the post."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gateway.simulator.clock import Clock
from gateway.simulator.faults import FaultBook, WebhookFaults
from gateway.simulator.webhooks import Post, PostError, WebhookRequest

__all__ = ["FaultyPost"]

_HOLD: Final = 1.0
_SIGNATURE: Final = "telnyx-signature-ed25519"
_WRONG: Final = "A" * 86 + "=="  # 64 octets of zeros


class FaultyPost:
    """A `Post` that does to webhooks what the faults in force say.

    Args:
        post: Sends them.
        book: Which faults are in force.
        clock: Of the simulator.
        note: Told of each fault: the call it belongs to, its name, and its fields.
    """

    def __init__(self, post: Post, book: FaultBook, clock: Clock, note: Callable[..., None]) -> None:
        self._post = post
        self._book = book
        self._clock = clock
        self._note = note
        self._held: dict[str, list[asyncio.Event]] = {}

    async def __call__(self, request: WebhookRequest) -> int:
        """Send one, or do something else with it; see `Post`."""
        faults = self._book.of(request.call_control_id).webhooks
        if faults.only and request.event_type not in faults.only:
            return await self._pass_on(request)
        return await self._mistreat(request, faults)

    async def _mistreat(self, request: WebhookRequest, faults: WebhookFaults) -> int:
        if self._happens("dropped", faults.dropped, request):
            raise PostError("dropped by a fault")
        if self._happens("bad_signature", faults.bad_signature, request):
            headers = {name: _WRONG if name.lower() == _SIGNATURE else text for name, text in request.headers.items()}
            request = replace(request, headers=headers)
        if self._happens("late", faults.late, request, seconds=faults.late_by):
            await self._clock.sleep(faults.late_by)
        if self._happens("reordered", faults.reordered, request):
            await self._wait_for_next(request.call_control_id)
        if self._happens("doubled", faults.doubled, request):
            await self._pass_on(request)
        return await self._pass_on(request)

    async def _pass_on(self, request: WebhookRequest) -> int:
        try:
            return await self._post(request)
        finally:
            for held in self._held.pop(request.call_control_id, []):
                held.set()

    async def _wait_for_next(self, call_control_id: str) -> None:
        over = asyncio.Event()
        self._held.setdefault(call_control_id, []).append(over)
        timer = self._clock.call_later(_HOLD, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            held = self._held.get(call_control_id, [])
            if over in held:
                held.remove(over)

    def _happens(self, name: str, chance: float, request: WebhookRequest, **fields: Any) -> bool:
        happens = self._book.throw("webhooks", chance, request.call_control_id)
        if happens:
            fields |= {"event_type": request.event_type, "attempt": request.attempt}
            self._note(request.call_control_id, "webhooks", name, **fields)
        return happens
