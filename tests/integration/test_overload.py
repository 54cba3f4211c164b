"""An event loop with more to do than there is time for: new calls are turned away, the running one loses nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import structlog

from gateway import Gateway, Settings
from gateway.agents.echo import Echo
from tests.integration.phone import PACKET, Phone, finished_recording, packets, samples_of

KEY = "k" * 20


@asynccontextmanager
async def busy_loop() -> AsyncIterator[None]:
    """Keep the event loop for 130 ms in each of its turns."""

    async def hog() -> None:
        while True:
            time.sleep(0.13)  # noqa: ASYNC251 - that is the point
            await asyncio.sleep(0)

    hogging = asyncio.create_task(hog())
    try:
        yield
    finally:
        hogging.cancel()


async def get(url: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
        return answer.status, await answer.json()


async def until_ready(gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        while (await get(f"{gateway.http_url}/readyz"))[0] != 200:  # noqa: ASYNC110 - it is asked over a socket
            await asyncio.sleep(0.02)


async def test_while_the_loop_is_late_new_calls_are_refused_and_the_running_one_goes_on(tmp_path: Path) -> None:
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger("info"))
    settings = Settings(
        media_listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        media_auth="none",
        data_dir=tmp_path,
        api_key=KEY,
        max_loop_lag_ms=20,
    )
    said = packets(30, seed=1)
    async with Gateway(settings, agent=Echo, log=log) as gateway, Phone(gateway.media_url, "running") as running:
        await until_ready(gateway)
        await running.begin()
        await running.say(said[:10])

        async with busy_loop(), asyncio.timeout(20):
            await running.say(said[10:15], every=0.0)
            while not capture.entries or "is late" not in capture.entries[-1]["event"]:  # noqa: ASYNC110 - a log
                await asyncio.sleep(0)
        status, answer = await get(f"{gateway.http_url}/readyz")  # the door stays shut for a while
        assert (status, answer["detail"]) == (503, "not ready for new calls: the event loop is late")
        async with Phone(gateway.media_url, "refused") as refused:
            assert (await asyncio.wait_for(asyncio.shield(refused.closed), 10))[0] == 1013

        await until_ready(gateway)
        async with Phone(gateway.media_url, "later") as later:
            await later.begin()
            await later.say(said[:5])
            async with asyncio.timeout(10):
                while not later.heard:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)
            await later.hang_up()
        await running.say(said[15:])
        async with asyncio.timeout(10):
            while len(running.heard) < len(said):  # noqa: ASYNC110 - what is heard has no event
                await asyncio.sleep(0.01)
        await running.hang_up()
        _, calls = await get(f"{gateway.http_url}/v1/calls")
        sidecar, recorded = await finished_recording(tmp_path, running.call_control_id)

    assert np.array_equal(recorded[: len(said) * PACKET, 0], samples_of(said))
    assert sidecar["report"]["received"]["packets_lost"] == 0
    counters = calls["counters"]
    assert (counters["loop_overloaded"], counters["loop_overloads"]) == (0, 1)
    assert counters["sessions_ended"]["overloaded"] == 1
    told = [line["event"] for line in capture.entries if line["event"].startswith("event loop")]
    assert told == ["event loop is late, new calls are refused", "event loop keeps up again"]
