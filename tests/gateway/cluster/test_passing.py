import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from gateway.control.v1_calls import CallsApi
from gateway.feed import CallFeed
from gateway.lifecycle import Answered, Initiated
from tests.gateway.cluster.sides import AUTHORIZED, call_of, fake_telnyx, running, until
from tests.gateway.control.conftest import Log
from tests.gateway.control.conftest import log as log

OURS, THEIRS = call_of(0), call_of(1)
DIAL = {"to": "+15550100001", "from": "+15550100002", "connection_id": "1"}


async def test_a_request_about_a_call_is_answered_by_the_worker_that_has_it(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        sides[1].directory.tell(THEIRS, Initiated("incoming"), Answered())
        assert [(await side.ask("GET", f"/v1/calls/{THEIRS}"))[1]["state"] for side in sides] == ["answered"] * 2
        assert (await sides[0].ask("GET", f"/v1/calls/{call_of(1, beside=THEIRS)}"))[0] == 404
        async with aiohttp.ClientSession(headers=AUTHORIZED) as session:
            answers = [await session.head(f"{side.url}/v1/calls/{THEIRS}") for side in reversed(sides)]
            assert [answer.status for answer in answers] == [200, 200]
            assert answers[0].headers["Content-Length"] == answers[1].headers["Content-Length"] != "0"
        for path in (f"/v1/calls/{THEIRS}", f"/v2/calls/{THEIRS}"):
            async with aiohttp.ClientSession() as session, session.get(sides[0].url + path) as answer:
                assert answer.status == 401  # which it says before it passes anything on


async def test_a_command_is_sent_by_the_worker_that_has_the_call(tmp_path: Path, log: Log) -> None:
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url) as sides:
        path = f"/v2/calls/{THEIRS}/actions"
        assert await sides[0].ask("POST", f"{path}/answer", {"client_state": "YQ=="}) == (
            200,
            {"data": {"result": "ok"}},
        )
        assert [side.directory.get(THEIRS) is not None for side in sides] == [False, True]
        assert [(action, call, body["client_state"]) for action, call, body in telnyx.commands] == [
            ("answer", THEIRS, "YQ==")
        ]
        status, refusal = await sides[0].ask("POST", f"{path}/speak", {"payload": "x" * 5_000_000})
        assert (status, refusal["errors"][0]["title"]) == (413, "Value outside of range")
        sound = {"playback_content": "UklG" * 250_000}
        assert (await sides[0].ask("POST", f"{path}/playback_start", sound))[0] == 200
        assert telnyx.commands[-1][2]["playback_content"] == sound["playback_content"]
        status, refusal = await sides[0].ask("POST", f"{path}/speak", {"voice": "x"})
        assert (status, refusal["errors"][0]["source"]["pointer"]) == (422, "/payload")


async def test_a_call_belongs_to_the_worker_that_dialled_it_as_soon_as_the_dial_is_answered(
    tmp_path: Path, log: Log
) -> None:
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url, workers=3) as sides:
        telnyx.dialled = call = call_of(2, workers=3)
        assert (await sides[0].ask("POST", "/v2/calls", DIAL))[0] == 200
        assert [side.owners.owner_of(call) for side in sides] == [0, 0, 0]
        assert [(await side.ask("GET", f"/v1/calls/{call}"))[1]["state"] for side in sides] == ["dialled"] * 3
        assert [side.directory.get(call) is not None for side in sides] == [True, False, False]
        for side in reversed(sides):
            await side.stop()
        for side in sides:
            await side.start()
        assert [side.owners.owner_of(call) for side in sides] == [0, 0, 0]  # it stands in the store
        assert [side.directory.get(call) is not None for side in sides] == [True, False, False]


async def test_a_dial_that_is_sent_again_to_another_worker_acts_once(tmp_path: Path, log: Log) -> None:
    async with fake_telnyx() as telnyx, running(tmp_path, log, telnyx_base_url=telnyx.url) as sides:
        for side, times in ((sides[0], "0"), (sides[1], "1"), (sides[1], "0"), (sides[0], "1")):
            assert (await side.ask("POST", "/v2/calls", DIAL, {"x-stainless-retry-count": times}))[0] == 200
        ids = [body["command_id"] for _, _, body in telnyx.commands]
        assert (ids[0] == ids[1], ids[2] == ids[3], ids[1] == ids[2]) == (True, True, False)


async def test_events_of_one_call_are_streamed_from_the_worker_that_has_it(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        sides[1].directory.tell(THEIRS, Initiated("incoming"))
        async with (
            aiohttp.ClientSession(headers=AUTHORIZED) as session,
            session.get(f"{sides[0].url}/v1/calls/{THEIRS}/events") as stream,
        ):
            assert (stream.status, stream.content_type) == (200, "text/event-stream")
            assert await stream.content.readuntil(b"\n\n") == b"retry: 2000\n\n"
            for name in ("one", "two"):
                sides[1].feed.publish(THEIRS, name, {})
                assert b"event: %b\n" % name.encode() in await stream.content.readuntil(b"\n\n")
        await until(lambda: _nobody_follows(sides[1].feed), timeout=20)


async def test_a_worker_that_ends_does_not_wait_for_streams_of_others(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        sides[1].directory.tell(THEIRS, Initiated("incoming"))
        async with (
            aiohttp.ClientSession(headers=AUTHORIZED) as session,
            session.get(f"{sides[0].url}/v1/calls/{THEIRS}/events") as stream,
        ):
            await stream.content.readuntil(b"\n\n")
            async with asyncio.timeout(3):
                await sides[0].stop()
            with pytest.raises(aiohttp.ClientPayloadError):
                await stream.content.read()
        await sides[0].start()


async def _nobody_follows(feed: CallFeed) -> bool:
    feed.publish(THEIRS, "more", {})
    return not feed.readers


async def test_a_request_waits_for_the_restart_of_its_worker_and_is_refused_where_that_takes_too_long(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, log) as sides:
        sides[1].directory.tell(THEIRS, Initiated("incoming"))
        await sides[1].stop()
        waiting = asyncio.ensure_future(sides[0].ask("GET", f"/v1/calls/{THEIRS}"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await sides[1].start()
        status, shown = await waiting
        assert (status, shown["state"]) == (200, "ringing")
        await sides[1].stop()
        monkeypatch.setattr("gateway.cluster.peers._AGAIN", 10.0)
        async with (
            aiohttp.ClientSession(headers=AUTHORIZED) as session,
            session.get(f"{sides[0].url}/v1/calls/{THEIRS}") as answer,
        ):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert json.loads(await answer.read())["detail"] == "worker 1 is not there"
        assert (await sides[0].ask("GET", f"/v1/calls/{OURS}"))[0] == 404  # its own it still has
        await sides[1].start()


async def test_an_answer_that_breaks_off_is_no_answer(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(self: CallsApi, request: aiohttp.web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    monkeypatch.setattr(CallsApi, "transcript", die)
    async with running(tmp_path, log) as sides:
        status, refusal = await sides[0].ask("GET", f"/v1/calls/{THEIRS}/transcript")
        assert (status, refusal["detail"]) == (502, "worker 1 broke off: ServerDisconnectedError")


async def test_what_workers_ask_of_each_other_cannot_be_asked_from_outside(tmp_path: Path, log: Log) -> None:
    async with running(tmp_path, log) as sides:
        for method, path in (("POST", "webhooks"), ("POST", "begun"), ("GET", "calls")):
            assert (await sides[0].ask(method, f"/cluster/{path}"))[0] == 404
