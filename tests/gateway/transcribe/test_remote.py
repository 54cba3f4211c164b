"""A sink in a worker process, held by an agent: what happens where the agent lets go while the call hands over."""

import asyncio

import numpy as np

from gateway.media.frame import AudioFrame
from gateway.sinks.process import WorkerProcesses
from gateway.transcribe.remote import open_remote
from tests.gateway.sinks.blocking import Told
from tests.gateway.sinks.streams import stream_info


def frame(number: int) -> AudioFrame:
    return AudioFrame("inbound", np.full(160, number, np.int16), 8000, 160 * number)


async def test_what_is_being_handed_over_arrives_and_what_comes_later_does_not() -> None:
    async with asyncio.timeout(20), WorkerProcesses() as processes:
        async with open_remote(Told, stream_info(), processes=processes) as remote:
            await remote.write(frame(1))
            handing_over = asyncio.create_task(remote.write(frame(2)))
            await asyncio.sleep(0)  # it has been sent, and is not answered
        assert handing_over.done()
        await handing_over
        assert remote.describe()["heard"] == [["inbound", 1], ["inbound", 2]]
        assert remote.describe()["left"]
        await remote.write(frame(3))  # by a call that has not heard of it yet
        assert remote.describe()["heard"] == [["inbound", 1], ["inbound", 2]]
