"""What of a webhook is told to those who follow its call."""

from typing import Any, Final

from gateway.feed import CallFeed
from gateway.protocol.events import Event, parse_event

__all__ = ["tell_webhook"]

_SECRET: Final = frozenset({"stream_url", "stream_params", "stream_auth_token"})
"""Where a stream's token may stand, which whoever reads along must not have."""


def tell_webhook(feed: CallFeed, event: Event) -> None:
    """Publish an event of Telnyx under its own name: `occurred_at`, and its payload without secrets."""
    call_control_id = event.payload.call_control_id
    if call_control_id is not None:
        feed.publish_octets(call_control_id, event.event_type, event.body, _read)


def _read(body: bytes) -> dict[str, Any]:
    event = parse_event(body)
    payload = event.payload.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=set(_SECRET))
    return {"occurred_at": event.occurred_at, "payload": payload}
