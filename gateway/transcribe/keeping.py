"""Keeping what was said: of all that is published of a call, the final segments go to the store as well."""

from collections.abc import Mapping
from typing import Any

from gateway.store.store import Store
from gateway.transcribe.segment import FINAL, Publish

__all__ = ["keeping_transcripts"]


def keeping_transcripts(publish: Publish, store: Store) -> Publish:
    """The same, and whoever has transcribed, what was said stays with the call.

    Args:
        publish: Tells everybody who follows the call.
        store: Takes the final segments.
    """

    def publish_and_keep(call_control_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        publish(call_control_id, event_type, data)
        if event_type == FINAL:
            store.save_segment(call_control_id, data)

    return publish_and_keep
