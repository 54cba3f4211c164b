"""The gateway against everything that the simulator can do wrong: recorder and echo, whole calls, one fault at a time.

Simulator and gateway run in one process on a clock that does not wait, and the media sockets in memory: nothing in here
sleeps in real time. The clock may pass fifty seconds in one, so that the threads of the gateway's store and recorder
keep up.
"""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import structlog

from audio_codecs import Samples
from gateway import Gateway, Settings
from gateway.config import Address
from gateway.simulator import SimulatedCall, Simulator
from gateway.simulator.clock import Clock
from gateway.simulator.faults import Faults
from gateway.simulator.switches import Switches
from gateway.simulator.timelapse import TimeLapseLoop
from tests.fakes import noise
from tests.integration.phone import finished_recording

LOOPBACK = Address("127.0.0.1", 0)
API_KEY = "k" * 20
SPEED = 50.0

Test = Callable[[Path], Coroutine[Any, Any, None]]


def in_time_lapse(test: Test) -> Callable[[Path], None]:
    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        with asyncio.Runner(loop_factory=lambda: TimeLapseLoop(speed=SPEED)) as runner:
            runner.run(asyncio.wait_for(test(tmp_path), 120))

    return run


@dataclass
class Bench:
    """A gateway, its Telnyx, and what was recorded."""

    simulator: Simulator
    gateway: Gateway
    folder: Path

    def place(
        self, seconds: float = 3.0, *, faults: Faults | None = None, speech: Samples | None = None
    ) -> SimulatedCall:
        """Have somebody call who says noise, or this speech."""
        url = f"{self.gateway.http_url}/webhooks/telnyx"
        call = self.simulator.place_call(
            from_="+15550100001",
            to="+15550100002",
            speech=noise(round(8000 * seconds)) if speech is None else speech,
            webhook_url=url,
            silence_after=0.4,
        )
        if faults is not None:
            self.simulator.faults.set(faults, call.leg.call_control_id)
        return call

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        url = self.gateway.http_url + path
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            assert answer.status == 200
            return await answer.json()

    async def record(self, call: SimulatedCall) -> dict[str, Any]:
        """What the gateway says of a call."""
        record: dict[str, Any] = await self.get(f"/v1/calls/{call.leg.call_control_id}")
        return record

    async def received(self, call: SimulatedCall) -> dict[str, Any]:
        """What the gateway says of the sound that came."""
        received: dict[str, Any] = (await self.record(call))["media"]["received"]
        return received

    async def recording(self, call: SimulatedCall) -> tuple[dict[str, Any], Samples]:
        return await finished_recording(self.folder, call.leg.call_control_id)


@asynccontextmanager
async def bench(folder: Path, *, switches: Switches | None = None, **settings: Any) -> AsyncIterator[Bench]:
    loop = asyncio.get_running_loop()
    start = time.time() - loop.time()
    log = structlog.wrap_logger(
        None, processors=[structlog.testing.LogCapture()], wrapper_class=structlog.make_filtering_bound_logger("error")
    )
    clock = Clock(loop.time, lambda: start + loop.time(), loop.call_later)
    async with Simulator(LOOPBACK, clock=clock, switches=switches, log=log) as simulator:
        fields: dict[str, Any] = {
            "media_listen": LOOPBACK,
            "http_listen": LOOPBACK,
            "data_dir": folder,
            "api_key": API_KEY,
            "telnyx_api_key": "KEY",
            "telnyx_public_key": simulator.public_key,
            "telnyx_base_url": simulator.rest_url,
            "agent": "echo",
        }
        async with Gateway(Settings(**fields | settings), log=log, clock=loop.time) as gateway:
            yield Bench(simulator, gateway, folder)


def happened(call: SimulatedCall, fault: str) -> int:
    return sum(entry["fault"] == fault for entry in call.timeline.entries(kind="fault"))


def heard_pieces(call: SimulatedCall) -> Samples:
    line = call.journal.heard.samples()
    return np.concatenate([line[start : start + length] for start, length in call.journal.heard.pieces])


@in_time_lapse
async def test_without_faults_every_sample_is_recorded_and_echoed(tmp_path: Path) -> None:
    async with bench(tmp_path) as there:
        call = there.place()
        await call.wait_finished()
        _, sound = await there.recording(call)
        received = await there.received(call)
        said = call.journal.said.samples()
        assert (received["packets_received"], received["packets_lost"]) == (170, 0)
        np.testing.assert_array_equal(sound[: len(said), 0], said)
        np.testing.assert_array_equal(heard_pieces(call)[:16_000], said[:16_000])


async def undisturbed(there: Bench, other: SimulatedCall) -> None:
    """The call beside it has every sample, in the recording and at the caller's ear."""
    await other.wait_finished()
    sidecar, sound = await there.recording(other)
    said = other.journal.said.samples()
    assert sidecar["report"]["end_reason"] == "stop"
    assert other.timeline.entries(kind="fault") == []
    np.testing.assert_array_equal(sound[: len(said), 0], said)
    speech = said[: np.flatnonzero(said)[-1] - 1600]  # the echo of the last tenths may come after the hang-up
    np.testing.assert_array_equal(heard_pieces(other)[: len(speech)], speech)


@dataclass
class Outcome:
    """What became of one call with faults, beside one without."""

    call: SimulatedCall
    said: Samples
    sidecar: dict[str, Any]
    sound: Samples
    received: dict[str, Any]
    record: dict[str, Any]
    counters: dict[str, Any]

    @property
    def recorded(self) -> Samples:
        """The caller's channel, as far as the caller was heard."""
        return self.sound[: len(self.said), 0]


async def suffer(
    folder: Path, faults: Faults, *, seconds: float = 3.0, hang_up: bool = False, **settings: Any
) -> Outcome:
    """Place a call that has to stand faults, and one that has not; hang up where the stream ends before the call."""
    async with bench(folder, **settings) as there:
        call, other = there.place(seconds, faults=faults), there.place(1.0)
        if hang_up:
            await asyncio.sleep(seconds)
            assert call.streaming is None
            call.person_hangs_up()
        await call.wait_finished()
        await undisturbed(there, other)
        sidecar, sound = await there.recording(call)
        record = await there.record(call)
        counters = (await there.get("/v1/calls"))["counters"]
        said = call.journal.said.samples()
        return Outcome(call, said, sidecar, sound, record["media"]["received"], record, counters)


# --- media ---------------------------------------------------------------------------------------------------------


@in_time_lapse
async def test_frames_lost_at_random_are_concealed_in_their_place(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(seed=1, media={"lost": 0.05}))
    lost = happened(outcome.call, "lost")
    assert lost >= 4
    assert outcome.received["packets_lost"] == outcome.received["frames_concealed"] == lost
    assert_only_these_frames_differ(outcome, lost)


@in_time_lapse
async def test_a_burst_of_losses_is_one_hole_of_its_length(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(seed=5, media={"lost": 0.01, "lost_run": 12}))
    lost = happened(outcome.call, "lost")
    assert lost >= 12
    assert outcome.received["packets_lost"] == lost
    assert_only_these_frames_differ(outcome, lost)


def assert_only_these_frames_differ(outcome: Outcome, frames: int) -> None:
    wrong = (outcome.recorded != outcome.said).reshape(-1, 160).any(axis=1)
    assert wrong.sum() <= frames
    assert len(outcome.recorded) == len(outcome.said)


@in_time_lapse
async def test_frames_that_come_twice_are_heard_once(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(media={"doubled": 0.2}))
    assert outcome.received["packets_duplicated"] == happened(outcome.call, "doubled") > 10
    assert outcome.received["packets_lost"] == 0
    np.testing.assert_array_equal(outcome.recorded, outcome.said)


@pytest.mark.parametrize("by", [1, 2])
def test_frames_that_overtake_each_other_are_put_in_order(tmp_path: Path, by: int) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        outcome = await suffer(folder, Faults(media={"reordered": 0.1, "reordered_by": by}))
        assert happened(outcome.call, "reordered") > 5
        assert outcome.received["packets_reordered"] > 0
        assert outcome.received["packets_lost"] == 0
        np.testing.assert_array_equal(outcome.recorded, outcome.said)

    test(tmp_path)


@in_time_lapse
async def test_jitter_costs_no_sound_and_is_measured(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(media={"jitter": 0.05}))
    assert happened(outcome.call, "jitter") == 1
    assert outcome.received["packets_lost"] == 0
    assert outcome.received["tracks"]["inbound"]["jitter_ms"] > 3
    np.testing.assert_array_equal(outcome.recorded, outcome.said)


@in_time_lapse
async def test_a_burst_after_a_stall_costs_no_sound(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(media={"stall_every": 1.0, "stall": 0.4}))
    assert happened(outcome.call, "stall") == 3
    assert outcome.received["packets_lost"] == 0
    np.testing.assert_array_equal(outcome.recorded, outcome.said)


@in_time_lapse
async def test_malformed_frames_are_counted_and_concealed(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(seed=2, media={"malformed": 0.03}))
    malformed = happened(outcome.call, "malformed")
    assert 2 <= malformed < 10
    assert outcome.counters["messages_bad"] == malformed
    assert outcome.record["media"]["end_reason"] == "stop"
    assert_only_these_frames_differ(outcome, malformed)


@in_time_lapse
async def test_too_many_malformed_frames_end_that_stream_and_no_other(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(media={"malformed": 1.0}), hang_up=True)
    assert outcome.counters["sessions_ended"]["protocol_error"] == 1
    assert outcome.sidecar["report"]["end_reason"] == "protocol_error"


@pytest.mark.parametrize("setting", ["auto", "little"])
def test_l16_in_the_other_byte_order_is_heard_as_such(tmp_path: Path, setting: str) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        faults = Faults(media={"byte_swap": True})
        async with bench(folder, stream_codec="L16", l16_byte_order=setting) as there:
            tone = np.round(9000 * np.sin(np.arange(8000) / 6)).astype(np.int16)  # noise has no byte order
            call = there.place(speech=tone, faults=faults)
            await call.wait_finished()
            _, sound = await there.recording(call)
            wire = (await there.received(call))["wire"]
            assert wire["l16_byte_order_heard"] == "big"
            said = call.journal.said.samples()
            right = np.array_equal(sound[4000 : len(said), 0], said[4000:])
            assert right == (setting == "auto")

    test(tmp_path)


@in_time_lapse
async def test_pcma_where_pcmu_was_asked_is_decoded_as_what_it_is(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(start={"codec": "PCMA"}))
    (fault,) = outcome.call.timeline.entries(kind="fault")
    assert (fault["asked"], fault["sent"]) == ("PCMU", "PCMA")
    np.testing.assert_array_equal(outcome.recorded, outcome.said)
    # What goes back is in what was asked for, whatever came in.
    assert np.corrcoef(heard_pieces(outcome.call)[:16_000], outcome.said[:16_000])[0, 1] > 0.99


# --- the socket ----------------------------------------------------------------------------------------------------


@in_time_lapse
async def test_a_start_that_comes_late_costs_nothing(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(start={"late": 20.0}))
    assert happened(outcome.call, "late") == 1
    np.testing.assert_array_equal(outcome.recorded, outcome.said)


@in_time_lapse
async def test_a_start_that_never_comes_is_given_up(tmp_path: Path) -> None:
    async with bench(tmp_path, start_timeout=5.0) as there:
        call, other = there.place(faults=Faults(start={"never": True})), there.place(1.0)
        await undisturbed(there, other)
        await asyncio.sleep(8)
        counters = (await there.get("/v1/calls"))["counters"]
        assert counters["sessions_ended"]["no_start"] >= 1
        call.person_hangs_up()
        await call.wait_finished()


@pytest.mark.parametrize("close_code", [None, 1011])
@pytest.mark.parametrize("new_stream_id", [False, True])
def test_a_socket_that_falls_and_comes_again_goes_on(
    tmp_path: Path, close_code: int | None, new_stream_id: bool
) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        faults = {"cut_after": 1.0, "close_code": close_code, "reconnect_after": 0.5, "new_stream_id": new_stream_id}
        async with bench(folder) as there:
            call, other = there.place(faults=Faults(socket=faults)), there.place(1.0)
            await call.wait_finished()
            await undisturbed(there, other)
            assert (happened(call, "cut"), happened(call, "reconnect")) == (1, 1)
            assert call.journal.messages_sent["start"] == 2
            counters = (await there.get("/v1/calls"))["counters"]
            assert (counters["reconnects"], counters["calls_started"]) == (1, 2)
            assert counters["sessions_ended"] == {"stop": 2}
            _, sound = await there.recording(call)
            before, hole, after = around_the_hole(call.journal.said.samples(), sound[:, 0])
            assert before == pytest.approx(1.0, abs=0.1)
            assert hole == pytest.approx(0.5, abs=0.15)
            assert before + after == pytest.approx(len(call.journal.said.samples()) / 8000)

    test(tmp_path)


def around_the_hole(said: Samples, recorded: Samples) -> tuple[float, float, float]:
    """Seconds that were recorded exactly, seconds that are missing, and again seconds that were recorded exactly."""
    length = len(said)
    wrong = (recorded[:length] != said).reshape(-1, 160).any(axis=1)
    first = 160 * int(np.argmax(wrong))
    for hole in range(160, 16_000, 160):
        rest = said[first:]
        if np.array_equal(recorded[first + hole : first + hole + len(rest)], rest):
            return first / 8000, hole / 8000, len(rest) / 8000
    raise AssertionError("what was said after the hole is not in the recording as it was said")


@in_time_lapse
async def test_a_socket_that_falls_for_good_ends_the_stream_and_not_the_call(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(socket={"cut_after": 1.0}), hang_up=True)
    assert happened(outcome.call, "cut") == 1
    assert outcome.sidecar["report"]["end_reason"] == "link_lost"
    assert outcome.call.leg.hangup_cause == "normal_clearing"


@in_time_lapse
async def test_a_telnyx_that_reads_slowly_does_not_hold_up_what_comes_from_it(tmp_path: Path) -> None:
    outcome = await suffer(tmp_path, Faults(socket={"read_delay": 0.1}))
    np.testing.assert_array_equal(outcome.recorded, outcome.said)
    assert 0 < outcome.call.journal.messages_received["media"] < 60


# --- webhooks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "fault"),
    [
        ({"late": 1.0, "late_by": 1.5}, "late"),
        ({"doubled": 1.0}, "doubled"),
        ({"reordered": 0.5}, "reordered"),
        ({"dropped": 1.0, "times": 3}, "dropped"),
    ],
    ids=["late", "doubled", "reordered", "dropped"],
)
def test_webhooks_may_come_as_they_like(tmp_path: Path, faults: dict[str, Any], fault: str) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        outcome = await suffer(folder, Faults(seed=3, webhooks=faults), seconds=6.0)
        assert happened(outcome.call, fault) >= 2
        np.testing.assert_array_equal(outcome.recorded, outcome.said)
        if fault == "doubled":
            assert outcome.counters["webhooks_duplicated"] >= 3
        assert outcome.counters["calls_started"] == 2

    test(tmp_path)


@in_time_lapse
async def test_a_webhook_with_a_wrong_signature_changes_nothing_but_a_counter(tmp_path: Path) -> None:
    faults = Faults(webhooks={"bad_signature": 1.0, "only": ["call.initiated"]})
    async with bench(tmp_path) as there:
        call, other = there.place(faults=faults), there.place(1.0)
        await undisturbed(there, other)
        await call.wait_finished()
        assert call.leg.hangup_cause == "timeout"  # nobody has heard of it
        assert happened(call, "bad_signature") == 1
        refused = (await there.get("/v1/calls"))["counters"]["webhooks_refused"]
        assert sum(refused.values()) == 1


# --- the API -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "fault", "times"),
    [
        ({"slow": 1.0, "slow_by": 0.7}, "slow", 4),  # the first attempt of each command does not wait so long
        ({"status_429": 1.0, "times": 2}, "status_429", 2),
        ({"status_500": 1.0, "times": 2}, "status_500", 2),
        ({"reset": 1.0, "times": 2}, "reset", 2),
        ({"reset_after": 1.0, "times": 2}, "reset_after", 2),
        ({"after_socket": 1.0}, "after_socket", 1),
    ],
    ids=["slow", "429", "500", "reset", "reset_after", "after_socket"],
)
def test_an_api_in_trouble_still_gets_the_call_answered_and_streamed(
    tmp_path: Path, faults: dict[str, Any], fault: str, times: int
) -> None:
    @in_time_lapse
    async def test(folder: Path) -> None:
        outcome = await suffer(folder, Faults(rest=faults))
        assert happened(outcome.call, fault) >= times
        np.testing.assert_array_equal(outcome.recorded, outcome.said)
        assert outcome.counters["calls_started"] == 2
        assert outcome.record["problems"] == []

    test(tmp_path)
