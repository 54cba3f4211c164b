"""What is asked of all workers at once, and what they say put together.

One that does not answer in time is named, and the others' answers stand.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from gateway.cluster.peers import Answer, Peers
from gateway.control.pagination import Place
from gateway.control.problems import problem
from gateway.control.v1_calls import Gathered

__all__ = ["Gathering", "added_up"]


class Gathering:
    """Asks all workers.

    Args:
        peers: All of them.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def calls(self, query: str) -> Gathered:
        """The calls that the workers have in memory, of one page of each, and their counters.

        Args:
            query: Of the request, checked.
        """
        answers = await self._peers.ask_all(f"/cluster/calls?{query}")
        calls: dict[Place, dict[str, Any]] = {}
        counters: list[Mapping[str, Any]] = []
        for answer in answers:
            if answer is not None and answer.status == 200:
                told = json.loads(answer.body)
                calls |= {Place(at, call["call_control_id"]): call for at, call in told["calls"]}
                counters.append(told["counters"])
        return Gathered(calls, added_up(counters), _missing(answers))

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether new calls may come: any worker may get the next one, so each that is there must have room."""
        answers = await self._peers.ask_all("/readyz")
        missing = _missing(answers)
        for worker, answer in enumerate(answers):
            if worker not in missing and answer is not None and answer.status != 200:
                detail = json.loads(answer.body).get("detail", "not ready for new calls")
                return problem(503, f"worker {worker}: {detail}")
        if len(missing) == len(answers):
            return problem(503, "no worker answers")
        return web.json_response({"status": "ready", "workers_missing": missing})


def added_up(counters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counters of several workers as those of one: numbers add up; of what is no number, the first that says something.

    Args:
        counters: Numbers, texts, None, and mappings of the same.
    """
    total: dict[str, Any] = {}
    for name in dict.fromkeys(name for one in counters for name in one):
        values = [one[name] for one in counters if one.get(name) is not None]
        if not values:
            total[name] = None
        elif isinstance(values[0], Mapping):
            total[name] = added_up(values)
        elif isinstance(values[0], int | float) and not isinstance(values[0], bool):
            total[name] = sum(values)
        else:
            total[name] = values[0]
    return total


def _missing(answers: Sequence[Answer | None]) -> list[int]:
    """Who has not answered, or only that something is wrong; 503 is an answer."""
    return [worker for worker, answer in enumerate(answers) if answer is None or answer.status not in (200, 503)]
