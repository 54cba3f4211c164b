"""`/v1/calls`: the calls that run and those that are over, and what happens in them."""

import heapq
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from gateway.control.bodies import call_control_id_of
from gateway.control.pagination import Page, Place, QueryError, choice_of, page_of
from gateway.control.problems import problem
from gateway.control.sse import EventStreams
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import StoreError
from gateway.lifecycle import CallState
from gateway.store.store import Store

__all__ = ["CallsApi"]

_OVER: Final = (CallState.ENDED, CallState.STORED)
_STATES_OVER: Final = tuple(state.name.lower() for state in _OVER)


class CallsApi:
    """The routes of calls.

    Args:
        directory: The calls that are known in memory.
        store: Knows the older ones, and the commands.
        streams: Sends events.
        counters: JSON-ready values, shown beside the calls.
    """

    def __init__(
        self,
        directory: CallDirectory,
        store: Store,
        streams: EventStreams,
        counters: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._directory = directory
        self._store = store
        self._streams = streams
        self._counters = counters

    def routes(self) -> list[web.RouteDef]:
        """For a router whose paths begin behind `/v1`."""
        return [
            web.get("/calls", self.list),
            web.get("/calls/{call_control_id:[^/]+}", self.show),
            web.get("/calls/{call_control_id:[^/]+}/transcript", self.transcript),
            web.get("/calls/{call_control_id:[^/]+}/events", self.events, allow_head=False),
            web.get("/events", self.all_events, allow_head=False),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """A page of the calls, newest first, and the counters."""
        try:
            page = page_of(request)
            live = choice_of(request, "live", ("true", "false"))
        except QueryError as error:
            return problem(400, str(error))
        wanted = None if live is None else live == "true"
        # What is known in memory is newer than what is stored, and may not be stored at all if the disk is full.
        places = (self._place(record) for record in self._directory if wanted in (None, record.state not in _OVER))
        known = heapq.nlargest(page.limit + 1, (place for place in places if page.after is None or place < page.after))
        try:
            records = await self._stored(page, live=wanted)
        except StoreError as error:
            return problem(503, str(error))
        for place in known:
            if (record := self._directory.get(place.id)) is not None:
                records[place] = record
        newest = sorted(records, reverse=True)[: page.limit + 1]
        more = len(newest) > page.limit
        del newest[page.limit :]
        return web.json_response(
            {
                "calls": [records[place].describe() for place in newest],
                "next_cursor": newest[-1].cursor() if more else None,
                "counters": dict(self._counters()),
            }
        )

    async def show(self, request: web.Request) -> web.Response:
        """One call, with the commands that were sent to it."""
        try:
            record = await self._find(request)
            if record is None:
                return problem(404, "no such call, or it is forgotten")
            commands = await self._store.commands_of(record.call_control_id)
        except StoreError as error:
            return problem(503, str(error))
        return web.json_response({**record.describe(), "commands": commands})

    async def transcript(self, request: web.Request) -> web.Response:
        """What was said in one call, where it was transcribed."""
        try:
            record = await self._find(request)
            if record is None:
                return problem(404, "no such call, or it is forgotten")
            segments = await self._store.transcript(record.call_control_id)
        except StoreError as error:
            return problem(503, str(error))
        return web.json_response({"segments": segments})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens in one call, as server-sent events."""
        try:
            record = await self._find(request)
        except StoreError as error:
            return problem(503, str(error))
        if record is None:
            return problem(404, "no such call, or it is forgotten")
        return await self._streams.answer(request, record.call_control_id)

    async def all_events(self, request: web.Request) -> web.StreamResponse:
        """What happens in all calls, as server-sent events."""
        return await self._streams.answer(request, None)

    @staticmethod
    def _place(record: CallRecord) -> Place:
        return Place(record.started_at, record.call_control_id)

    async def _stored(self, page: Page, *, live: bool | None) -> dict[Place, CallRecord]:
        """A page of what is stored; what memory knows better is left out."""
        records = {}
        for call_control_id, started_at, frozen in await self._store.calls_before(
            page.after, limit=page.limit + 1, states=_STATES_OVER, among=None if live is None else not live
        ):
            if self._directory.get(call_control_id) is None:
                try:
                    record = CallRecord.thaw(call_control_id, frozen)
                except StoreError as error:  # the others can be shown all the same
                    record = CallRecord(call_control_id, problems=[str(error)])
                records[Place(started_at, call_control_id)] = record
        return records

    async def _find(self, request: web.Request) -> CallRecord | None:
        call_control_id = call_control_id_of(request)
        if call_control_id is None:
            return None
        record = self._directory.get(call_control_id)
        if record is not None:
            return record
        frozen = await self._store.find_call(call_control_id)
        return None if frozen is None else CallRecord.thaw(call_control_id, frozen)
