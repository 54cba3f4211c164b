"""A sink that blocks, one that raises, one that keeps the event loop: all that the others get is exact all the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import structlog
from structlog.typing import EventDict

from gateway import AudioFrame, Gateway, Settings, StreamInfo
from gateway.sinks.base import INBOUND
from gateway.sinks.delivery import Delivery
from tests.fakes import ListSink
from tests.gateway.sinks.blocking import Told
from tests.gateway.sinks.streams import FailingSink, delivered
from tests.integration.phone import PACKET, Phone, finished_recording, packets, samples_of

KEY = "k" * 20
SAID = 150


class Sleeping:
    """Blocks for a second at each frame, and says so."""

    tracks = INBOUND
    delivery = Delivery(by="thread", frames=20, linger=0, close_timeout=0.2)

    def __init__(self, info: StreamInfo) -> None:
        del info

    def write(self, frame: AudioFrame) -> None:
        time.sleep(1)


class Hogging:
    """Blocks for 50 ms at each frame, and does not say so."""

    tracks = INBOUND

    def __init__(self, info: StreamInfo) -> None:
        del info

    def write(self, frame: AudioFrame) -> None:
        time.sleep(0.05)


class Bench:
    """A running gateway with good sinks and bad ones, and what it logged."""

    def __init__(self, gateway: Gateway, data_dir: Path, logged: list[EventDict]) -> None:
        self.gateway = gateway
        self.data_dir = data_dir
        self.logged = logged

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession() as http, http.get(self.gateway.http_url + path, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()

    async def sinks_of(self, phone: Phone) -> dict[str, Any]:
        """What the call's record says of its sinks, once all of them have come to their end."""
        async with asyncio.timeout(30):
            while True:
                sinks: dict[str, Any] = (await self.get(f"/v1/calls/{phone.call_control_id}"))["media"]["sinks"]
                if all(sink["state"] in ("closed", "failed", "removed") for sink in sinks.values()):
                    return sinks
                await asyncio.sleep(0.05)


@asynccontextmanager
async def bench(data_dir: Path, **sinks: Any) -> AsyncIterator[Bench]:
    capture = structlog.testing.LogCapture()
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        media_auth="none",
        data_dir=data_dir,
        api_key=KEY,
        sinks=("recorder", "level:"),
    )
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger("info"))
    async with Gateway(settings, sinks=sinks, log=log) as gateway:
        yield Bench(gateway, data_dir, capture.entries)


async def talk(gateway: Gateway, name: str, seed: int) -> Phone:
    """A whole call: 150 packets, a little faster than in life, and all of them on the recording."""
    async with Phone(gateway.media_url, name) as phone:
        await phone.begin()
        await phone.say(packets(SAID, seed), every=0.01)
        await phone.hang_up()
    return phone


async def test_bad_sinks_cost_only_themselves(tmp_path: Path) -> None:
    plain, wide, raising = ListSink(), ListSink(), FailingSink(100)
    async with bench(
        tmp_path,
        sleeping=Sleeping,
        raising=raising.factory,
        hogging=Hogging,
        plain=plain.factory,
        wide=delivered(wide.factory, sample_rate=16_000),
        told=Told,
    ) as running:
        phone = await talk(running.gateway, "caller", 1)
        said = samples_of(phone.sent)
        sidecar, recorded = await finished_recording(tmp_path, phone.call_control_id)
        sinks = await running.sinks_of(phone)
        counters = (await running.get("/v1/calls"))["counters"]

    # the good ones: sample for sample
    assert np.array_equal(recorded[:, 0], said)
    assert np.array_equal(plain.sound(), said)
    assert plain.timestamps() == [PACKET * number for number in range(SAID)]
    assert wide.timestamps() == [2 * PACKET * number for number in range(SAID + 1)]
    assert [first for _, first in sinks["told"]["heard"]] == [int(samples) for samples in said[::PACKET]]
    assert sidecar["report"]["received"]["packets_lost"] == 0
    for good in ("recorder", "level", "plain", "wide", "told"):
        assert (sinks[good]["state"], sinks[good]["error"], sinks[good]["frames_dropped"]) == ("closed", None, 0), good

    # the bad ones: what happened, and every frame accounted for
    sleeping, failed, removed = sinks["sleeping"], sinks["raising"], sinks["hogging"]
    assert (failed["state"], failed["error"]) == ("failed", "ValueError: enough")
    assert (failed["frames"], failed["frames_dropped"]) == (100, SAID - 100)
    assert (removed["state"], removed["frames"], removed["frames_dropped"]) == ("removed", 5, SAID - 5)
    assert (removed["loop_overruns"], removed["loop_longest"] >= 0.05) == (5, True)
    assert sleeping["state"] in ("closed", "failed")  # as it wakes up in time to be closed, or not
    assert 1 <= sleeping["frames"] <= 20
    assert sleeping["frames"] + sleeping["frames_dropped"] == SAID
    assert sleeping["lag_max"] == pytest.approx(0.4)
    assert counters["loop_stalls"] >= 1
    events = [(line["event"], line.get("sink")) for line in running.logged if line["log_level"] in ("warning", "error")]
    assert ("sink failed", "raising") in events
    assert ("sink removed", "hogging") in events
    assert ("sink drops frames", "sleeping") in events


async def test_a_bad_sink_of_one_call_leaves_the_other_calls_alone(tmp_path: Path) -> None:
    hogged: set[str] = set()

    class Selective(Hogging):
        def __init__(self, info: StreamInfo) -> None:
            self.bad = info.call_control_id == "v3:bad"

        def write(self, frame: AudioFrame) -> None:
            if self.bad:
                hogged.add("bad")
                super().write(frame)

    plain = ListSink()
    async with bench(tmp_path, selective=Selective, plain=plain.factory) as running:
        bad, good = await asyncio.gather(talk(running.gateway, "bad", 1), talk(running.gateway, "good", 2))
        of_bad, of_good = await running.sinks_of(bad), await running.sinks_of(good)
        for phone in (bad, good):
            _, recorded = await finished_recording(tmp_path, phone.call_control_id)
            assert np.array_equal(recorded[:, 0], samples_of(phone.sent))
    assert hogged == {"bad"}
    assert of_bad["selective"]["state"] == "removed"
    assert (of_good["selective"]["state"], of_good["selective"]["frames"]) == ("closed", SAID)
