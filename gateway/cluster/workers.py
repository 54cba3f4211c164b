"""The workers of one gateway as one of them has them: put together for its HTTP side."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web
from structlog.typing import FilteringBoundLogger

from gateway.cluster.announcer import Announcer
from gateway.cluster.events import GatheredEvents
from gateway.cluster.gathering import Gathering
from gateway.cluster.inbox import SharedInbox
from gateway.cluster.owners import Owners
from gateway.cluster.passing import Passing, Refuse
from gateway.cluster.peers import Peers
from gateway.cluster.post import EventPost
from gateway.cluster.worker_api import WorkerApi
from gateway.control.dispatcher import Handler
from gateway.control.sse import EventStreams
from gateway.control.v1_calls import CallsApi, Gathered
from gateway.directory import CallDirectory

__all__ = ["Workers"]

_ANNOUNCING: Final = 1.0


class Workers:
    """An async context manager.

    Args:
        owners: Know whose a call is.
        directory: The calls of this worker.
        log: Where things are told.
    """

    def __init__(self, owners: Owners, directory: CallDirectory, *, log: FilteringBoundLogger) -> None:
        self._owners = owners
        self._directory = directory
        self._peers = Peers(owners.slot)
        self._post = EventPost(owners, self._peers)
        self._announcer = Announcer(owners, self._peers, directory, log=log)
        self._gathering = Gathering(self._peers)
        self._passing: list[Passing] = []
        self._inbox: SharedInbox
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._peers)
        await self._stack.enter_async_context(self._announcer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def socket(self) -> Path:
        """Where this worker takes requests of the others."""
        return self._owners.slot.http_path(self._owners.slot.index)

    def counters(self) -> dict[str, int]:
        """What went to other workers, as JSON-ready values."""
        return {
            "webhooks_passed": self._post.sent,
            "requests_passed": sum(passing.passed for passing in self._passing),
            "calls_moved": self._announcer.moved,
        }

    def inbox(self, *arguments: Any, **options: Any) -> SharedInbox:
        """Make the inbox of this worker; as `Inbox`."""
        self._inbox = SharedInbox(
            *arguments, owners=self._owners, post=self._post, directory=self._directory, **options
        )
        return self._inbox

    def handling(self, handle: Handler) -> Handler:
        """Handle events as `handle` does, but send those after their calls that have moved since they were taken."""
        return self._post.handling(handle)

    def routes(self, calls: CallsApi, counters: Callable[[], Mapping[str, Any]]) -> list[web.RouteDef]:
        """What the other workers may ask; the inbox was made before."""
        return WorkerApi(self._inbox, self._owners, self._directory, calls, counters).routes()

    async def know(self, call_control_id: str) -> None:
        """Wait a moment until the others know that a call begins here."""
        await self._owners.announced(call_control_id, timeout=_ANNOUNCING)

    # --- for the routes of the shared ports --------------------------------------------------------------------------

    def passing(self, refuse: Refuse) -> Passing:
        """Passes requests on; what nobody can answer is refused so."""
        passing = Passing(self._owners, self._peers, refuse=refuse)
        self._passing.append(passing)
        return passing

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether new calls may come to any of them."""
        return await self._gathering.readyz(request)

    def everywhere(self, streams: EventStreams) -> "_Everywhere":
        """What is asked of all workers; `streams` sends their events."""
        return _Everywhere(self._gathering, GatheredEvents(self._peers, streams))


class _Everywhere:
    """See `gateway.control.v1_calls.Everywhere`."""

    def __init__(self, gathering: Gathering, events: GatheredEvents) -> None:
        self._gathering = gathering
        self._events = events

    async def calls(self, query: str) -> Gathered:
        return await self._gathering.calls(query)

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await self._events.answer(request)
