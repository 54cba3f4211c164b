"""What the tests of the HTTP side share: a logger that keeps its lines, and events to tell of."""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import pytest
import structlog
from structlog.testing import LogCapture
from structlog.typing import FilteringBoundLogger

from gateway.control.dispatcher import EventDispatcher
from gateway.protocol.events import Event, parse_event


class Log(NamedTuple):
    """A logger, and what was logged to it."""

    logger: FilteringBoundLogger
    lines: list[MutableMapping[str, Any]]


@pytest.fixture
def log() -> Log:
    capture = LogCapture()
    logger = structlog.wrap_logger(
        None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger("debug")
    )
    return Log(logger, capture.entries)


def webhook(event_type: str, payload: Mapping[str, Any] | None = None, **data: Any) -> bytes:
    """A webhook as Telnyx writes it."""
    data = {"record_type": "event", "event_type": event_type, "id": "5a1c7a54", "payload": payload or {}, **data}
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.test"}}).encode()


def an_event(
    event_type: str,
    call_control_id: str | None = "v3:a",
    event_id: str = "1",
    occurred_at: str | None = "2026-11-20T10:00:00.000000Z",
    **payload: Any,
) -> Event:
    """One event, read from a webhook as Telnyx writes it."""
    fields = {"call_control_id": call_control_id, **payload}
    return parse_event(webhook(event_type, fields, id=event_id, occurred_at=occurred_at))


async def settle(dispatcher: EventDispatcher) -> None:
    """Let the events that were taken be handled; none of them may wait for the outside."""
    for _ in range(1000):
        if not dispatcher.pending:
            return
        await asyncio.sleep(0)
    pytest.fail(f"{dispatcher.pending} events are not done")
