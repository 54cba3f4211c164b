"""What workers ask of each other, on their Unix sockets only: to take an event, to give a call away, what they know.

Whoever can reach these paths is one of them, so they need no key.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from gateway.cluster.inbox import SharedInbox
from gateway.cluster.owners import Owners
from gateway.cluster.post import OWNER
from gateway.control.problems import problem
from gateway.control.v1_calls import CallsApi
from gateway.directory import CallDirectory
from gateway.errors import InboxFullError, RemoteProtocolError, StoreError
from gateway.protocol.events import parse_event

__all__ = ["WorkerApi"]


class WorkerApi:
    """The routes.

    Args:
        inbox: Takes events.
        owners: Told of calls that begin at other workers.
        directory: Gives them away, where they were here before.
        calls: Knows those of this worker.
        counters: Those of this worker.
    """

    def __init__(
        self,
        inbox: SharedInbox,
        owners: Owners,
        directory: CallDirectory,
        calls: CallsApi,
        counters: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._inbox = inbox
        self._owners = owners
        self._directory = directory
        self._calls = calls
        self._counters = counters

    def routes(self) -> list[web.RouteDef]:
        """For a router of the Unix socket."""
        return [
            web.post("/cluster/webhooks", self.webhook),
            web.post("/cluster/begun", self.call_begun),
            web.post("/cluster/told", self.told),
            web.get("/cluster/calls", self.calls, allow_head=False),
        ]

    async def webhook(self, request: web.Request) -> web.Response:
        """Take an event that another worker has verified: 200 if it is safely kept, 421 if a third one has its call."""
        body = await request.read()
        try:
            elsewhere = await self._inbox.take_here(parse_event(body), body)
        except RemoteProtocolError as error:
            return problem(400, str(error))
        except (InboxFullError, StoreError) as error:
            return problem(503, str(error))
        return web.Response() if elsewhere is None else web.Response(status=421, headers={OWNER: str(elsewhere)})

    async def call_begun(self, request: web.Request) -> web.Response:
        """Take another worker's word that it has a call: 200 with what was told of it here, 204 if nothing was.

        Where both have begun at the same time, the lower number has it: 409.
        """
        told = json.loads(await request.read())
        call_control_id, owner = str(told["call_control_id"]), int(told["owner"])
        if call_control_id in self._owners.begun and self._owners.slot.index < owner:
            return problem(409, "the call has begun here as well")
        record = self._directory.give_away(call_control_id)
        self._owners.moved(call_control_id, owner, given=record is not None)
        return web.Response(status=204) if record is None else web.Response(body=record)

    async def told(self, request: web.Request) -> web.Response:
        """Take what another worker was told of a call, which it has given away."""
        told = json.loads(await request.read())
        self._directory.take_over(str(told["call_control_id"]), str(told["record"]).encode())
        return web.Response(status=204)

    async def calls(self, request: web.Request) -> web.Response:
        """The newest calls in memory, by a query that was checked, and the counters."""
        calls = self._calls.known(request)
        return web.json_response(
            {"calls": [[at, call] for (at, _), call in calls.items()], "counters": self._counters()}
        )
