"""The service put together: its settings, and whole calls between it and the simulator, over loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from gateway import Agent, Call, Gateway, Settings
from gateway.agents.base import AgentFactory
from gateway.agents.echo import Echo
from gateway.cluster.slot import WorkerSlot
from gateway.config import Address
from gateway.errors import ConfigError
from gateway.simulator import SimulatedCall, Simulator
from tests.fakes import ListSink, acting, noise
from tests.gateway.sinks.recorder.recordings import read_wav, sidecar

LOOPBACK = Address("127.0.0.1", 0)
NUMBERS = {"from_": "+15550100001", "to": "+15550100002"}
API_KEY = "a key that only the tests have"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def settings(folder: Path, **fields: Any) -> Settings:
    fields = {"media_listen": LOOPBACK, "http_listen": LOOPBACK, "data_dir": folder, "api_key": API_KEY} | fields
    return Settings(**fields)


def make(folder: Path, *, answer_with: AgentFactory | None = None, hear_with: Any = None, **fields: Any) -> Gateway:
    return Gateway(settings(folder, **fields), agent=answer_with, sinks=hear_with, log=structlog.get_logger())


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"media_auth": "none", "media_listen": "0.0.0.0:8765", "public_media_url": "wss://x"}, "GATEWAY_MEDIA_AUTH"),
        ({"media_auth": "none", "media_listen": "192.0.2.1:8765"}, "192.0.2.1:8765"),
        ({"stream_codec": "PCMU", "stream_sample_rate": 16_000}, "GATEWAY_STREAM_SAMPLE_RATE: PCMU has 8000 Hz only"),
        ({"stream_codec": "PCMA", "stream_sample_rate": 24_000}, "GATEWAY_STREAM_SAMPLE_RATE: PCMA"),
        ({"media_listen": ":8765"}, "GATEWAY_PUBLIC_MEDIA_URL"),
        ({"media_listen": "[::]:8765"}, "GATEWAY_PUBLIC_MEDIA_URL"),
        ({"workers": 2}, "GATEWAY_WORKERS: several are for `telnyx-gateway serve`"),
    ],
)
def test_settings_that_are_wrong_together_are_refused(tmp_path: Path, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make(tmp_path, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"media_auth": "none", "media_listen": "[::1]:0"},
        {"media_listen": ":8765", "public_media_url": "wss://gateway.example.com/media"},
        {"stream_codec": "L16", "stream_sample_rate": 24_000},
    ],
)
def test_settings_that_go_together_are_taken(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert make(tmp_path, **fields).settings == settings(tmp_path, **fields)


def test_each_worker_needs_ports_of_its_own_for_forks(tmp_path: Path) -> None:
    slot = WorkerSlot(1, 3, tmp_path, b"key")
    Gateway(settings(tmp_path, workers=3, fork_listen="127.0.0.1:20000-20011"), slot=slot)
    with pytest.raises(
        ConfigError, match=r"GATEWAY_FORK_LISTEN: .*:20000-20010 has less than four ports for each of 3"
    ):
        Gateway(settings(tmp_path, workers=3, fork_listen="127.0.0.1:20000-20010"), slot=slot)


class Silent(Agent):
    async def run(self, call: Call) -> None:
        await call.wait_ended()


@pytest.mark.parametrize(
    ("name", "agent"),
    [(None, None), ("echo", Echo), ("gateway.agents.echo:Echo", Echo), (f"{__name__}:Silent", Silent)],
)
def test_an_agent_is_found_by_its_name_or_by_its_module_and_class(
    tmp_path: Path, name: str | None, agent: AgentFactory | None
) -> None:
    assert make(tmp_path, agent=name)._agent is agent


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ecko", "is no agent; want one of echo,.* or package.module:Class"),
        ("gateway.agents.echo", "is no agent"),
        ("gateway.nowhere:Echo", "cannot be loaded: No module named"),
        ("gateway.agents.echo:Nothing", "cannot be loaded: .* has no attribute 'Nothing'"),
        ("gateway.agents.echo:INBOUND", "is no agent"),
        ("gateway.config:Settings", "is no agent"),
        (":Echo", "cannot be loaded"),
        (".agents.echo:Echo", "cannot be loaded"),
        ("gateway.agents.echo:", "cannot be loaded"),
    ],
)
def test_an_agent_that_there_is_not_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"GATEWAY_AGENT: '{name}' {complaint}"):
        make(tmp_path, agent=name)


async def test_a_sink_that_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    gateway = make(tmp_path, sinks=("recorder", "transcribr"))
    with pytest.raises(ConfigError, match="GATEWAY_SINKS: 'transcribr': there is no such sink; there are: recorder"):
        await gateway.__aenter__()


def test_a_public_key_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TELNYX_PUBLIC_KEY: the public key is not base64"):
        make(tmp_path, telnyx_public_key="not base64!")


async def test_a_port_that_is_taken_is_an_os_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with make(tmp_path) as first:
        port = int(first.http_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await make(tmp_path / "other", http_listen=Address("127.0.0.1", port)).__aenter__()


async def test_a_folder_of_another_gateway_is_refused(tmp_path: Path) -> None:
    async with make(tmp_path):
        with pytest.raises(ConfigError, match="GATEWAY_DATA_DIR: another gateway uses the folder"):
            await make(tmp_path).__aenter__()


async def test_the_api_key_is_made_once_and_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with make(tmp_path, api_key=None):
        shown = capsys.readouterr()
    key = (tmp_path / "api_key").read_text("ascii").strip()
    assert shown.err == f"API key, also in {tmp_path / 'api_key'}: {key}\n"
    assert shown.out == ""
    async with make(tmp_path, api_key=None) as again, aiohttp.ClientSession() as session:
        assert key not in "".join(capsys.readouterr())
        url = f"{again.http_url}/v1/calls"
        async with session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
            assert answer.status == 200
        async with session.get(url, headers={"Authorization": "Bearer another"}) as answer:
            assert answer.status == 401


# --- whole calls ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def telnyx() -> AsyncIterator[Simulator]:
    async with (
        asyncio.timeout(15),
        Simulator(LOOPBACK, retry_delays=(0.05, 0.05), log=structlog.get_logger()) as simulator,
    ):
        yield simulator


def account(simulator: Simulator) -> dict[str, Any]:
    """The settings of a gateway whose Telnyx is this simulator."""
    return {
        "telnyx_api_key": "KEY",
        "telnyx_public_key": simulator.public_key,
        "telnyx_base_url": simulator.rest_url,
    }


def place_call(simulator: Simulator, gateway: Gateway, seconds: float, silence: float = 0.3) -> SimulatedCall:
    url = f"{gateway.http_url}/webhooks/telnyx"
    return simulator.place_call(**NUMBERS, speech=noise(round(8000 * seconds)), webhook_url=url, silence_after=silence)


async def get(gateway: Gateway, path: str) -> Any:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path, headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def stored(gateway: Gateway, call: SimulatedCall) -> Any:
    """The call's record, once the gateway is through with it."""
    while True:
        record = await get(gateway, f"/v1/calls/{call.leg.call_control_id}")
        if record["state"] == "stored":
            return record
        await asyncio.sleep(0.01)


def only_recording(folder: Path) -> Path:
    (recording,) = (folder / "recordings").iterdir()
    return recording


async def test_a_call_is_answered_echoed_and_recorded(tmp_path: Path) -> None:
    async with telnyx() as simulator, make(tmp_path, **account(simulator), agent="echo") as gateway:
        call = place_call(simulator, gateway, 1.0)
        await call.wait_finished()
        record = await stored(gateway, call)
    journal = call.journal
    said = journal.said.samples()
    assert (call.leg.hangup_cause, len(said)) == ("normal_clearing", 10_400)

    folder = only_recording(tmp_path)
    sound = read_wav(folder / "recording.wav")
    assert np.array_equal(sound[: len(said), 0], said)
    assert not sound[len(said) :, 0].any()

    heard = journal.heard.samples()
    heard = np.concatenate([heard[start : start + length] for start, length in journal.heard.pieces])
    assert len(heard) >= 8000
    assert np.array_equal(heard, said[: len(heard)])
    played = sound[sound[:, 1] != 0, 1]
    assert len(played) >= 7000
    assert np.array_equal(played, said[said != 0][: len(played)])

    described = sidecar(folder)
    assert described["complete"] is True
    assert described["report"]["end_reason"] == "stop"
    assert (record["state"], record["problems"]) == ("stored", [])
    assert record["media"]["end_reason"] == "stop"
    assert record["media"]["received"]["packets_received"] == 65
    assert record["media"]["sinks"]["recorder"]["recording"] == folder.name
    assert json.dumps(record)


async def test_leaving_ends_the_running_calls_and_their_recordings_are_whole(tmp_path: Path) -> None:
    sink = ListSink()
    reasons = []
    speaking = asyncio.Event()

    async def wait(call: Call) -> None:
        async for _ in call:
            speaking.set()
        reasons.append(await call.wait_ended())

    async with telnyx() as simulator:
        fields = account(simulator) | {"drain_timeout": 0.05}
        async with make(tmp_path, **fields, answer_with=acting(wait), hear_with={"list": sink.factory}) as gateway:
            call = place_call(simulator, gateway, 10.0)
            await speaking.wait()
            assert not await gateway.drain()
    assert (reasons, sink.closed) == (["shutdown"], 1)
    folder = only_recording(tmp_path)
    sound = read_wav(folder / "recording.wav")
    assert sidecar(folder)["report"]["end_reason"] == "shutdown"
    assert np.array_equal(sound[:, 0], call.journal.said.samples()[: len(sound)])
    assert np.array_equal(sound[:, 0], sink.sound())


async def test_a_gateway_without_sinks_and_agent_takes_calls(tmp_path: Path) -> None:
    async with telnyx() as simulator, make(tmp_path, **account(simulator), sinks=()) as gateway:
        call = place_call(simulator, gateway, 0.1, silence=0.0)
        await call.wait_finished()
        record = await stored(gateway, call)
    assert record["media"]["end_reason"] == "stop"
    assert record["media"]["sinks"] == {}
    assert not (tmp_path / "recordings").exists()
