"""Which faults are in force, for whom and how often; and what they do to webhooks and to the API."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from gateway.errors import ConfigError
from gateway.simulator.faults import NO_FAULTS, FaultBook, Faults, MediaFaults
from gateway.simulator.files import load_faults

from .application import KEY, NUMBERS, application, echo, ignore, simulator, speech, timelapse


def test_a_call_has_its_own_faults_or_those_of_all() -> None:
    all_of_them, own = Faults(media=MediaFaults(lost=0.5)), Faults(seed=2)
    book = FaultBook()
    assert book.of("v3:a") is NO_FAULTS
    book.set(all_of_them)
    book.set(own, "v3:a")
    assert (book.of("v3:a"), book.of("v3:b"), book.of()) == (own, all_of_them, all_of_them)
    book.clear("v3:a")
    assert book.of("v3:a") is all_of_them
    book.set(own, "v3:a")
    book.clear()
    assert (book.of("v3:a"), book.calls()) == (NO_FAULTS, {})


def test_a_family_happens_so_often_and_the_same_seed_throws_the_same() -> None:
    book = FaultBook(Faults.model_validate({"webhooks": {"times": 2}, "socket": {"times": None}}))
    assert [book.throw("webhooks", 1.0, None) for _ in range(3)] == [True, True, False]
    assert not book.throw("rest", 0.0, None)
    assert all(book.take("socket", "v3:a") for _ in range(5))
    throws = []
    for _ in range(2):
        book.set(Faults(seed=7))
        throws.append([book.throw("rest", 0.5, None) for _ in range(50)])
    assert throws[0] == throws[1]
    assert {True, False} == set(throws[0])
    assert book.stream_dice(None).random() != book.stream_dice(None).random()


@pytest.mark.parametrize(
    "fields",
    [{"media": {"lost": 1.5}}, {"media": {"lots": 1}}, {"socket": {"close_code": 999}}, {"weather": {}}],
)
def test_what_is_no_fault_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate(fields)


def test_faults_come_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('seed = 3\n[media]\nlost = 0.1\njitter = 0.02\n[webhooks]\nonly = ["call.answered"]\n')
    faults = load_faults(path, ["media.lost=0.01", "rest.only=answer,dial", "socket.close_code=1001"])
    assert (faults.seed, faults.media.lost, faults.media.jitter) == (3, 0.01, 0.02)
    assert (faults.webhooks.only, faults.rest.only) == (("call.answered",), ("answer", "dial"))
    assert faults.socket.close_code == 1001
    assert load_faults(None) == NO_FAULTS


@pytest.mark.parametrize(
    ("text", "pairs", "complaint"),
    [
        ("media = [", [], "Invalid"),
        ("[media]\nlost = 2\n", [], "faults: media.lost"),
        ("", ["media.lots=1"], "media.lots"),
        ("", ["media=1"], "media"),
    ],
)
def test_a_file_that_is_none_says_where(tmp_path: Path, text: str, pairs: list[str], complaint: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        load_faults(path, pairs)
    with pytest.raises(ConfigError):
        load_faults(tmp_path / "nowhere.toml")


@timelapse
async def test_faults_are_set_looked_at_and_taken_back_over_http() -> None:
    async with application(echo) as app, simulator(app) as running:
        url = f"{app.sim_url}/faults"
        assert (await app.request("POST", url, {"media": {"lost": 2}}))[0] == 422
        status, body = await app.request("POST", url, {"seed": 4, "media": {"doubled": 1.0}})
        assert (status, body["data"]["media"]["doubled"]) == (200, 1.0)
        call = running.place_call(**NUMBERS, speech=speech(0.2))
        one = f"{url}?call_control_id={call.leg.call_control_id}"
        assert (await app.request("POST", one, {"media": {"lost": 1.0}}))[0] == 200
        _, body = await app.request("GET", url)
        assert body["data"]["all"]["seed"] == 4
        assert body["data"]["calls"][call.leg.call_control_id]["media"]["lost"] == 1.0
        await call.wait_finished()
        assert call.journal.messages_sent["media"] == 0
        assert {entry["fault"] for entry in call.timeline.entries(kind="fault")} == {"lost"}
        assert (await app.request("DELETE", one))[0] == 200
        second = running.place_call(**NUMBERS, speech=speech(0.2), silence_after=0.0)
        await second.wait_finished()
        assert second.journal.messages_sent["media"] == 20
        _, body = await app.request("DELETE", url)
        assert body["data"] == {"all": json.loads(NO_FAULTS.model_dump_json()), "calls": {}}
        assert (await app.request("POST", f"{url}?call_control_id=v3:x", {}))[0] == 404


@timelapse
async def test_faults_change_in_the_midst_of_a_stream() -> None:
    async with application(ignore) as app, simulator(app) as running:
        call = running.place_call(**NUMBERS, speech=speech(1.0), silence_after=0.0)
        await asyncio.sleep(0.4)
        running.faults.set(Faults(media=MediaFaults(lost=1.0)), call.leg.call_control_id)
        await asyncio.sleep(0.2)
        running.faults.clear()
        await call.wait_finished()
        lost = len(call.timeline.entries(kind="fault"))
        assert 5 <= lost <= 15
        assert call.journal.messages_sent["media"] == 50 - lost


@timelapse
async def test_webhooks_are_mistreated_one_by_one() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"doubled": 1.0, "times": 1}, ["call.initiated", "call.initiated", "call.hangup"]),
        ({"reordered": 1.0, "times": 1}, ["call.hangup", "call.initiated"]),
        ({"late": 1.0, "late_by": 0.5, "only": ["call.initiated"]}, ["call.hangup", "call.initiated"]),
        ({"dropped": 1.0, "only": ["call.hangup"]}, ["call.initiated"]),
        ({"dropped": 1.0, "times": 1}, ["call.hangup", "call.initiated"]),
    ]
    async with application(ignore, acts=False) as app, simulator(app, retry_delays=(0.4, 0.4)) as running:
        for faults, events in cases:
            running.faults.set(Faults.model_validate({"webhooks": faults}))
            call = running.place_call(**NUMBERS, speech=None)
            await asyncio.sleep(0.2)
            call.person_hangs_up()
            await call.wait_finished()
            assert app.events(call.leg.call_control_id) == events, faults
            assert call.timeline.entries(kind="fault")[0]["family"] == "webhooks"


@timelapse
async def test_a_wrong_signature_is_wrong_and_nothing_else_changes() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        running.faults.set(Faults.model_validate({"webhooks": {"bad_signature": 1.0, "times": 1}}))
        call = running.place_call(**NUMBERS, speech=None)
        await app.told("call.initiated")
        call.person_hangs_up()
        await call.wait_finished()
        first, second = (dict(headers)["telnyx-signature-ed25519"] for headers, _ in app.webhooks)
        assert first.startswith("AAAA")
        assert not second.startswith("AAAA")


@timelapse
async def test_the_api_is_slow_says_no_or_goes_away() -> None:
    async with application(ignore, acts=False) as app, simulator(app) as running:
        loop = asyncio.get_running_loop()

        async def hang_up(**faults: Any) -> tuple[int, float, str | None, bool]:
            """Returns status, seconds, retry-after, and whether the call was hung up."""
            call = running.place_call(**NUMBERS, speech=None)
            running.faults.set(Faults.model_validate({"rest": faults}), call.leg.call_control_id)
            url = f"{app.rest_url}/calls/{call.leg.call_control_id}/actions/hangup"
            began = loop.time()
            try:
                async with app.session.post(url, json={}, headers=KEY) as answer:
                    status, retry = answer.status, answer.headers.get("retry-after")
            except aiohttp.ClientError:
                status, retry = 0, None
            ended = call.leg.ending is not None
            running.faults.clear(call.leg.call_control_id)
            call.person_hangs_up()
            return status, round(loop.time() - began, 1), retry, ended

        assert await hang_up() == (200, 0.0, None, True)
        assert await hang_up(slow=1.0, slow_by=2.0) == (200, 2.0, None, True)
        assert await hang_up(status_429=1.0) == (429, 0.0, "1", False)
        assert (await hang_up(status_500=1.0))[::3] == (500, False)
        assert (await hang_up(reset=1.0))[::3] == (0, False)
        assert (await hang_up(reset_after=1.0))[::3] == (0, True)
        assert (await hang_up(status_500=1.0, only=["answer"]))[0] == 200


@timelapse
async def test_the_answer_may_come_behind_the_socket() -> None:
    order: list[str] = []

    async def media(socket: Any) -> None:
        order.append("socket")
        await ignore(socket)

    async with application(media, acts=False) as app, simulator(app) as running:
        running.faults.set(Faults.model_validate({"rest": {"after_socket": 1.0}}))
        call = running.place_call(**NUMBERS, speech=speech(0.1))
        await app.told("call.initiated")
        await app.command(call.leg.call_control_id, "answer", {"stream_url": app.stream_url})
        order.append("answer")
        await call.wait_finished()
    assert order == ["socket", "answer"]
