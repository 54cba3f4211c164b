"""What is written into a webhook: one event, in version 1 or 2 of Telnyx's format, or as query parameters.

Version 1 is older than Ed25519 signatures and than most events; only its shape is kept: no envelope, `_` in the names
of events, `created_at` outside and `occurred_at` inside the payload. How nested values stand in a query is not
documented: here as JSON.

Source: Telnyx, "Voice API Webhooks", and for version 1 the former "Call Webhooks" page.
"""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

from gateway.simulator.leg import iso_time

__all__ = ["ApiVersion", "Event", "write_body", "write_query"]

ApiVersion: TypeAlias = Literal["1", "2"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is told to the application.

    Attributes:
        occurred_at: Unix time, in seconds.
        id: The same in every attempt to deliver it.
    """

    event_type: str
    payload: dict[str, Any]
    occurred_at: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def write_body(event: Event, version: ApiVersion, *, attempt: int, url: str) -> bytes:
    """The body of a POST, as JSON."""
    when = iso_time(event.occurred_at)
    if version == "1":
        return _json(
            {
                "record_type": "event",
                "id": event.id,
                "event_type": event.event_type.replace(".", "_"),
                "created_at": when,
                "payload": event.payload | {"occurred_at": when},
            }
        )
    data = {
        "record_type": "event",
        "event_type": event.event_type,
        "id": event.id,
        "occurred_at": when,
        "payload": event.payload,
    }
    return _json({"data": data, "meta": {"attempt": attempt, "delivered_to": url}})


def write_query(event: Event, version: ApiVersion, *, url: str) -> str:
    """The URL of a GET: the payload's fields as query parameters, and what identifies the event."""
    when = iso_time(event.occurred_at)
    name = event.event_type.replace(".", "_") if version == "1" else event.event_type
    fields = {"event_type": name, "id": event.id, "occurred_at": when, **event.payload}
    query = urlencode({key: _parameter(value) for key, value in fields.items() if value is not None})
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _parameter(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
