"""Telnyx's API: commands, status, active calls."""

import asyncio
from typing import Any

import pytest

from gateway.protocol.commands import COMMANDS
from gateway.simulator.switches import Switches

from .application import DIAL, NUMBERS, Application, application, echo, ignore, simulator, speech, timelapse, until

SIMULATED = {
    "dial",
    "answer",
    "bridge",
    "client_state_update",
    "fork_start",
    "fork_stop",
    "hangup",
    "reject",
    "streaming_start",
    "streaming_stop",
    "transfer",
}


async def answered(app: Application) -> str:
    """A call that was placed and answered."""
    call_control_id = await app.dial(to="+15550100200")
    await app.told("call.answered", call_control_id)
    return call_control_id


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["errors"][0]["code"]


@pytest.mark.parametrize(
    ("cause", "told", "sip"),
    [
        ("CALL_REJECTED", "call_rejected", "603"),
        ("USER_BUSY", "user_busy", "486"),
        ("NOT_FOUND", "not_found", "404"),
        ("TEMPORARILY_UNAVAILABLE", "unspecified", "480"),
    ],
)
async def test_a_call_may_be_rejected(cause: str, told: str, sip: str) -> None:
    async with application(ignore) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("reject", {"cause": cause})]}
        call = running.place_call(**NUMBERS, speech=speech(0.1))
        await call.wait_finished()
        hangup = app.payload("call.hangup")
        assert (hangup["hangup_cause"], hangup["hangup_source"], hangup["sip_hangup_cause"]) == (told, "callee", sip)


async def test_a_command_with_a_known_id_is_answered_and_ignored() -> None:
    async with application(echo) as app, simulator(app) as running:
        app.plan = {"call.initiated": [("answer", {"command_id": "one"})] * 2}
        app.plan["call.answered"] = [("hangup", {"command_id": "two"})] * 2
        call = running.place_call(**NUMBERS, speech=speech(0.1))
        await call.wait_finished()
        assert app.events() == ["call.initiated", "call.answered", "call.hangup"]
        assert app.answers == [(200, {"data": {"result": "ok"}})] * 4
        repeated = [entry.get("repeated", False) for entry in call.timeline.entries(kind="command")]
        assert repeated == [False, True, False, True]


async def test_the_id_of_a_refused_command_is_not_remembered_nor_its_state() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call = await answered(app)
        body = {"command_id": "a", "client_state": "YQ==", "call_control_id": "v3:nobody"}
        for _ in range(2):
            assert code(await app.command(call, "bridge", body)) == (422, "90015")
        await app.command(call, "hangup")
        assert (await app.told("call.hangup"))["client_state"] is None


async def test_a_client_state_stays_until_a_command_brings_another() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call = await app.dial(to="+15550100200", client_state="YQ==")
        await app.told("call.answered")
        url = f"{app.rest_url}/calls/{call}/actions/client_state_update"
        assert await app.request("PUT", url, {"client_state": "Yg=="}) == (200, {"data": {"result": "ok"}})
        assert code(await app.request("PUT", url, {})) == (422, "10004")
        assert code(await app.request("POST", url, {"client_state": "Yg=="})) == (405, "10030")
        assert (await app.request("GET", f"{app.rest_url}/calls/{call}"))[1]["data"]["client_state"] == "Yg=="
        await app.command(call, "hangup")
        assert [data["payload"]["client_state"] for data in app.data()][:2] == ["YQ==", "YQ=="]
        assert (await app.told("call.hangup"))["client_state"] == "Yg=="


# What the models of the commands that are not simulated want to be told.
BODIES: dict[str, dict[str, Any]] = {
    "enqueue": {"queue_name": "support"},
    "send_dtmf": {"digits": "1"},
    "refer": {"sip_address": "sip:somebody@example.com"},
}


async def test_what_is_not_simulated_says_so_by_its_name() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        call = await answered(app)
        for action, body in BODIES.items():
            url = f"{app.rest_url}/calls/{call}/actions/{action}"
            async with app.session.post(url, json=body, headers={"Authorization": "Bearer key"}) as answer:
                (error,) = (await answer.json())["errors"]
                assert (answer.status, error["code"]) == (501, "10007")
                assert repr(action) in error["detail"]
                assert answer.headers["x-should-retry"] == "false"
        assert running.exchange.look_up(call).timeline.entries(kind="command")[-1]["status"] == 501


@pytest.mark.parametrize("action", sorted(set(COMMANDS) - SIMULATED))
async def test_no_command_gets_an_ok_for_nothing(action: str) -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call = await answered(app)
        url = f"{app.rest_url}/calls/{call}/actions/{action}"
        status, _ = await app.request(COMMANDS[action].method, url, BODIES.get(action, {}))
        assert status in (422, 501)
        await app.command(call, "hangup")
        await app.told("call.hangup")
        assert app.events() == ["call.initiated", "call.answered", "call.hangup"]


@pytest.mark.parametrize("action", ["dance", "dial"])
async def test_a_command_that_there_is_none_of(action: str) -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        assert code(await app.command(await answered(app), action)) == (404, "10005")


@pytest.mark.parametrize(("switch", "status", "told"), [("404", 404, "10005"), ("422", 422, "90015")])
async def test_a_call_that_there_is_none_of(switch: Any, status: int, told: str) -> None:
    async with application(ignore) as app, simulator(app, switches=Switches(unknown_call=switch)):
        assert code(await app.command("v3:nobody", "hangup")) == (status, told)
        assert code(await app.request("GET", f"{app.rest_url}/calls/v3:nobody")) == (status, told)


async def test_the_id_may_be_escaped() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        call = await answered(app)
        assert (await app.command(call.replace(":", "%3A"), "hangup"))[0] == 200


@timelapse
async def test_a_call_that_has_ended_is_known_for_ten_minutes() -> None:
    async with application(ignore, acts=False) as app, simulator(app, within=1000) as running:
        call = await answered(app)
        await asyncio.sleep(3)
        await app.command(call, "hangup")
        await app.told("call.hangup")
        status, body = await app.request("GET", f"{app.rest_url}/calls/{call}")
        assert (status, body["data"]["is_alive"], body["data"]["call_duration"]) == (200, False, 3)
        await asyncio.sleep(590)
        assert code(await app.command(call, "hangup")) == (422, "90018")
        await asyncio.sleep(20)
        assert code(await app.command(call, "hangup")) == (404, "10005")
        assert (await app.request("GET", f"{running.sim_url}/calls/{call}"))[0] == 200


@timelapse
async def test_the_active_calls_of_a_connection_come_in_pages() -> None:
    async with application(ignore, acts=False) as app, simulator(app):
        calls = [await app.dial(to="+15550100408") for _ in range(5)]
        await app.dial(connection_id="42")
        await app.command(calls.pop(0), "hangup")
        url = f"{app.rest_url}/connections/{DIAL['connection_id']}/active_calls"
        await until(lambda: "call.hangup" in app.events())

        async def page(query: str) -> tuple[list[str], Any]:
            status, body = await app.request("GET", url + query)
            assert status == 200, body
            return [item["call_control_id"] for item in body["data"]], body["meta"]

        ids, meta = await page("")
        assert ids == calls
        assert (meta["total_items"], meta["total_pages"], meta["next"], meta["previous"]) == (4, 1, None, None)
        first, meta = await page("?page[size]=3")
        assert (first, meta["page_number"], meta["total_pages"]) == (calls[:3], 1, 2)
        assert (await page("?page[size]=3&page[number]=2"))[0] == calls[3:]
        assert (await page(meta["next"].partition(url.partition("/v2")[2])[2]))[0] == calls[3:]
        last, meta = await page(f"?page[limit]=3&page[after]={calls[2]}")
        assert last == calls[3:]
        assert (await page(f"?page[before]={calls[2]}&page[size]=2"))[0] == calls[:2]
        assert (await page("?page[number]=9"))[0] == []

        for query in ("page[size]=0", "page[size]=251", "page[number]=-1", "page[after]=v3:nobody"):
            status, body = await app.request("GET", f"{url}?{query}")
            assert (status, body["errors"][0]["source"]["parameter"]) == (422, query.partition("=")[0])
        assert code(await app.request("GET", f"{app.rest_url}/connections/mine/active_calls")) == (404, "10005")
