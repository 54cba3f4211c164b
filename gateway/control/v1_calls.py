"""`/v1/calls`: the calls that run and those that are over, and what happens in them."""

import heapq
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import web

from gateway.control.bodies import call_control_id_of
from gateway.control.pagination import Page, Place, QueryError, choice_of, page_of
from gateway.control.problems import problem
from gateway.control.sse import EventStreams
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import StoreError
from gateway.lifecycle import CallState
from gateway.store.store import Store

__all__ = ["CallsApi", "Everywhere", "Gathered"]

_OVER: Final = (CallState.ENDED, CallState.STORED)
_STATES_OVER: Final = tuple(state.name.lower() for state in _OVER)


class Gathered(NamedTuple):
    """What all workers know.

    Attributes:
        calls: Those that they have in memory, as they are shown.
        counters: Added up.
        missing: The workers that have not answered.
    """

    calls: dict[Place, dict[str, Any]]
    counters: Mapping[str, Any]
    missing: list[int]


class Everywhere(Protocol):
    """All workers."""

    async def calls(self, query: str) -> Gathered:
        """The calls that they have in memory, by the query of a request that was checked."""

    async def events(self, request: web.Request) -> web.StreamResponse:
        """What happens in all of them, as server-sent events."""


class CallsApi:
    """The routes of calls.

    Args:
        directory: The calls that are known in memory.
        store: Knows the older ones, and the commands.
        streams: Sends events.
        counters: JSON-ready values, shown beside the calls.
        ours: Whether a call is this worker's: what it gave away is not shown; None: there is one only.
        everywhere: Knows what all workers do; None where only this one is asked.
    """

    def __init__(
        self,
        directory: CallDirectory,
        store: Store,
        streams: EventStreams,
        counters: Callable[[], Mapping[str, Any]],
        *,
        ours: Callable[[str], bool] | None = None,
        everywhere: Everywhere | None = None,
    ) -> None:
        self._directory = directory
        self._store = store
        self._streams = streams
        self._counters = counters
        self._ours = ours or (lambda call_control_id: True)
        self._everywhere = everywhere

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
        answer: dict[str, Any] = {}
        if self._everywhere is None:
            known = self._known(page, live)
            counters = self._counters()
        else:
            known, counters, answer["workers_missing"] = await self._everywhere.calls(request.rel_url.raw_query_string)
        try:
            # What is known in memory is newer than what is stored, and may not be stored at all if the disk is full.
            shown = await self._stored(page, live=live, besides={place.id for place in known}) | known
        except StoreError as error:
            return problem(503, str(error))
        newest = sorted(shown, reverse=True)[: page.limit + 1]
        more = len(newest) > page.limit
        del newest[page.limit :]
        answer["calls"] = [shown[place] for place in newest]
        answer["next_cursor"] = newest[-1].cursor() if more else None
        answer["counters"] = dict(counters)
        return web.json_response(answer)

    def known(self, request: web.Request) -> dict[Place, dict[str, Any]]:
        """The calls in memory that may stand on a page, as they are shown.

        Raises:
            QueryError: The request asks for something else.
        """
        return self._known(page_of(request), choice_of(request, "live", ("true", "false")))

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
        if self._everywhere is not None:
            return await self._everywhere.events(request)
        return await self._streams.answer(request, None)

    @staticmethod
    def _place(record: CallRecord) -> Place:
        return Place(record.started_at, record.call_control_id)

    def _known(self, page: Page, live: str | None) -> dict[Place, dict[str, Any]]:
        wanted = None if live is None else live == "true"
        places = (
            self._place(record)
            for record in self._directory
            if wanted in (None, record.state not in _OVER) and self._ours(record.call_control_id)
        )
        newest = heapq.nlargest(page.limit + 1, (place for place in places if page.after is None or place < page.after))
        records = ((place, self._directory.get(place.id)) for place in newest)
        return {place: record.describe() for place, record in records if record is not None}

    async def _stored(self, page: Page, *, live: str | None, besides: set[str]) -> dict[Place, dict[str, Any]]:
        """A page of what is stored; what memory knows better is left out."""
        records = {}
        for call_control_id, started_at, frozen in await self._store.calls_before(
            page.after, limit=page.limit + 1, states=_STATES_OVER, among=None if live is None else live == "false"
        ):
            if call_control_id not in besides and not self._is_known(call_control_id):
                try:
                    record = CallRecord.thaw(call_control_id, frozen)
                except StoreError as error:  # the others can be shown all the same
                    record = CallRecord(call_control_id, problems=[str(error)])
                records[Place(started_at, call_control_id)] = record.describe()
        return records

    def _is_known(self, call_control_id: str) -> bool:
        return self._directory.get(call_control_id) is not None and self._ours(call_control_id)

    async def _find(self, request: web.Request) -> CallRecord | None:
        call_control_id = call_control_id_of(request)
        if call_control_id is None:
            return None
        record = self._directory.get(call_control_id)
        if record is not None:
            return record
        frozen = await self._store.find_call(call_control_id)
        return None if frozen is None else CallRecord.thaw(call_control_id, frozen)
