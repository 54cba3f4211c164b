"""Recordings from the settings: what can be asked for, where it lies, and what is refused at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from gateway.call import Call
from gateway.cli import app
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.media.frame import AudioFrame
from gateway.recordings import open_recorder
from gateway.sinks.base import SinkFactory
from gateway.sinks.recorder import Recorder, RecordingOptions
from gateway.sinks.recorder.beep import beep
from gateway.sinks.recorder.recording import Recording
from gateway.sinks.recorder.seal import SealKey
from gateway.sinks.url import SinkConfig
from tests.fakes import FakeLine, acting, settle
from tests.gateway.sinks.recorder.recordings import noise, read_wav, sidecar, stream_info
from tests.gateway.sinks.recorder.test_recording import POOL, rows
from tests.integration.phone import packets, samples_of

KEY = SealKey(bytes(range(32)))


@asynccontextmanager
async def recorder(
    data_dir: Path, *, path: str = "", options: Any = None, **settings: Any
) -> AsyncIterator[SinkFactory]:
    config = SinkConfig(path=path, options=options or {}, data_dir=data_dir, log=structlog.get_logger())
    async with asyncio.timeout(20), open_recorder(config, Settings(data_dir=data_dir, **settings)) as factory:
        yield factory


async def record(factory: SinkFactory) -> None:
    async with factory(stream_info()) as sink:
        for at in range(0, 1600, 160):
            sink.write(AudioFrame("inbound", noise(1600)[at : at + 160], 8000, at))


def key_file(folder: Path) -> Path:
    (folder / "key").write_bytes(base64.b64encode(bytes(KEY)))
    return folder / "key"


def left_behind(folder: Path, **options: Any) -> Recording:
    """What a crash leaves."""
    recording = Recording(folder, stream_info(), **options)
    recording.origin = 0
    recording.create()
    recording.flush(rows(0, noise(8000)), POOL)
    recording.release()
    return recording


async def test_recordings_lie_in_the_data_folder_and_have_the_options_of_the_settings(tmp_path: Path) -> None:
    async with recorder(
        tmp_path, options={"channels": "single", "max_length": "60", "trim": "trim-silence"}
    ) as factory:
        await record(factory)
    (folder,) = (tmp_path / "recordings").iterdir()
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(1600))
    values = sidecar(folder)
    assert (values["state"], values["options"]["max_length"], values["trimmed"]) == ("final", 60, [0, 0])


async def test_they_may_lie_elsewhere(tmp_path: Path) -> None:
    async with recorder(tmp_path / "data", path=str(tmp_path / "elsewhere")) as factory:
        await record(factory)
    assert len(list((tmp_path / "elsewhere").glob("*/recording.wav"))) == 1


@pytest.mark.parametrize(
    ("options", "settings", "complaint"),
    [
        ({"chanels": "single"}, {}, "chanels: Extra inputs"),
        ({"max_length": "soon"}, {}, "max_length"),
        ({"custom_file_name": "../a"}, {}, "custom_file_name"),
        ({"play_beep": "true"}, {}, "play_beep"),
        ({}, {"recordings_key_file": "nowhere"}, "cannot read the key"),
        ({"format": "mp3"}, {"recordings_key_file": "key"}, "sealed"),
        ({}, {"recordings_url": "nonsense://x"}, "no object store"),
    ],
)
async def test_what_cannot_be_is_refused_at_the_start(
    options: dict[str, str], settings: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    if settings.get("recordings_key_file") == "key":
        settings = {"recordings_key_file": str(key_file(tmp_path))}
    with pytest.raises(ConfigError, match=complaint):
        async with recorder(tmp_path, options=options, **settings):
            pass


async def test_what_a_crash_left_is_complete_soon_after_the_start(tmp_path: Path) -> None:
    folder = left_behind(tmp_path / "recordings" / "one").folder
    async with recorder(tmp_path):
        while sidecar(folder)["state"] != "final":  # noqa: ASYNC110 - another thread does it
            await asyncio.sleep(0.01)
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], noise(8000))


async def test_an_agent_records_from_the_middle_of_its_call(tmp_path: Path) -> None:
    """As docs/recording.md has it."""
    payloads = packets(60)

    async def run(call: Call) -> None:
        heard = 0
        async for _ in call:
            heard += 1
            if heard == 20:
                break
        call.send_audio(beep(8000), 8000)
        async with service.open(call.info, options=RecordingOptions(recording_track="inbound")) as recording:
            call.listen(recording, "recording")
            await call.wait_ended()

    async with Recorder(tmp_path, log=structlog.get_logger()) as service:
        line = FakeLine(agent=acting(run))
        async with line.running():
            for payload in payloads:
                line.say(payload)
                line.wait(0.02)
                await settle()
    (folder,) = tmp_path.iterdir()
    values = sidecar(folder)
    assert values["origin"] % 160 == 0
    assert 20 <= values["origin"] // 160 < 25
    assert values["channels"] == ["inbound"]
    wanted = samples_of(payloads)[values["origin"] :]
    assert np.array_equal(read_wav(folder / "recording.wav")[:, 0], wanted)


# --- by command ---------------------------------------------------------------------------------------------------


def test_recover_tells_what_became_of_each_and_leaves_what_runs(tmp_path: Path) -> None:
    good = left_behind(tmp_path / "recordings" / "20261120T101500Z-00000001").folder
    bad = left_behind(tmp_path / "recordings" / "20261120T101500Z-00000000").folder
    (bad / "recording.wav").write_bytes(b"no")
    running = Recording(tmp_path / "recordings" / "20261120T101500Z-00000002", stream_info())
    running.create()
    result = CliRunner().invoke(app, ["recover"], env={"GATEWAY_DATA_DIR": str(tmp_path)})
    assert result.exit_code == 1
    assert result.output == f"{good}: 1.00 s\n{bad}: recording.wav is no WAV file of a recording\n"
    assert sidecar(good)["state"] == "final"
    assert sidecar(running.folder)["state"] == "recording"
    (bad / "recording.wav").unlink()
    result = CliRunner().invoke(app, ["recover", str(tmp_path / "recordings")])
    assert (result.exit_code, result.output) == (0, "")


def test_a_sealed_recording_is_heard_with_its_key(tmp_path: Path) -> None:
    recording = left_behind(tmp_path / "one", key=KEY)
    sealed = str(recording.folder / "recording.wav.sealed")
    out = str(tmp_path / "a.wav")
    result = CliRunner().invoke(app, ["unseal", sealed, "--key", str(key_file(tmp_path)), "--out", out])
    assert (result.exit_code, "cut off" in result.output) == (1, True)
    assert np.array_equal(read_wav(tmp_path / "a.wav")[:, 0], noise(8000))
    (tmp_path / "other").write_bytes(base64.b64encode(bytes(32)))
    result = CliRunner().invoke(
        app, ["unseal", sealed, "--key", str(tmp_path / "other"), "--out", str(tmp_path / "b.wav")]
    )
    assert (result.exit_code, "another key" in result.output) == (2, True)
