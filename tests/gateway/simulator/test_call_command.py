"""The command `call`, as a person or a script meets it: against our gateway, an echo, and programs that do it wrong."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from typer.testing import CliRunner, Result
from websockets.asyncio.server import ServerConnection, serve

from audio_codecs import Samples, open_codec
from gateway import Gateway, Settings
from gateway.cli import app
from gateway.simulator.wav import read_wav, write_wav
from tests.gateway.simulator.application import echo, ignore, speech

Media: TypeAlias = Callable[[ServerConnection], Awaitable[None]]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["call", *map(str, arguments)], env={"COLUMNS": "200", "TERM": "dumb"})


@contextmanager
def in_thread(run: "Callable[[Future[str]], Awaitable[None]]") -> Iterator[str]:
    """Run a far side on an event loop of its own; it tells its URL, and ends when it is cancelled."""
    loop: Future[asyncio.AbstractEventLoop] = Future()
    url: Future[str] = Future()

    async def main() -> None:
        loop.set_result(asyncio.get_running_loop())
        task = asyncio.ensure_future(run(url))
        stop.append(task.cancel)
        await asyncio.gather(task, return_exceptions=True)

    stop: list[Callable[[], Any]] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        yield url.result(10)
    finally:
        loop.result().call_soon_threadsafe(stop[0])
        thread.join(10)


def far_side(media: Media) -> Any:
    """A media socket."""

    async def run(url: "Future[str]") -> None:
        async with serve(media, "127.0.0.1", 0, compression=None) as server:
            url.set_result(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media")
            await asyncio.Event().wait()

    return in_thread(run)


def recorder(messages: list[dict[str, Any]], headers: list[str | None]) -> Media:
    async def record(socket: ServerConnection) -> None:
        assert socket.request is not None
        headers.append(socket.request.headers.get("x-telnyx-streaming-auth-token"))
        messages.extend([json.loads(text) async for text in socket])

    return record


@pytest.fixture
def said(tmp_path: Path) -> Path:
    path = tmp_path / "said.wav"
    path.write_bytes(write_wav(as_pcmu(speech(0.3)), sample_rate=8000))
    return path


def as_pcmu(samples: Samples) -> Samples:
    codec = open_codec("PCMU", 8000)
    return codec.decode(codec.encode(samples))


def heard_in(path: Path) -> Samples:
    return read_wav(path.read_bytes(), sample_rate=8000)


def test_the_command_explains_itself() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for words in ("MEDIA_URL", "--wav", "--out", "--codec", "--rate", "--mode", "--token", "--faults", "--script"):
        assert words in result.output, words


def test_our_gateway_is_called_and_its_echo_is_heard(said: Path, tmp_path: Path) -> None:
    async def run(url: "Future[str]") -> None:
        settings = Settings.model_validate(
            {
                "media_listen": "127.0.0.1:0",
                "http_listen": "127.0.0.1:0",
                "media_auth": "none",
                "agent": "echo",
                "sinks": "",
                "data_dir": str(tmp_path / "data"),
                "log_level": "error",
            }
        )
        async with Gateway(settings) as gateway:
            url.set_result(gateway.media_url)
            await asyncio.Event().wait()

    out = tmp_path / "heard.wav"
    with in_thread(run) as url:
        result = call(url, "--wav", said, "--out", out, "--silence-after", "0.5")
    assert result.exit_code == 0, result.output
    heard, wanted = (sound[sound != 0] for sound in (heard_in(out), heard_in(said)))  # a busy machine may tear holes
    assert np.array_equal(heard[: len(wanted)], wanted)
    for words in ("sent      40 media messages, p99", "ms late", "sound back after", str(out)):
        assert words in result.output, words


def test_what_is_sent_is_what_telnyx_sends(said: Path) -> None:
    messages: list[dict[str, Any]] = []
    headers: list[str | None] = []
    with far_side(recorder(messages, headers)) as url:
        result = call(
            url, "--wav", said, "--codec", "L16", "--rate", "16000", "--token", "tok-1", "--silence-after", "0"
        )
    assert result.exit_code == 0, result.output
    assert "no sound came back" in result.output
    events = [message["event"] for message in messages]
    assert events == ["connected", "start", *["media"] * 15, "stop"]
    assert headers == [messages[0]["connected"]["x-telnyx-streaming-auth-token"]] == ["tok-1"]
    assert messages[1]["start"]["media_format"] == {"encoding": "L16", "sample_rate": 16000, "channels": 1}
    assert {len(message["media"]["payload"]) for message in messages[2:-1]} == {856}  # base64 of 640 octets


def test_marks_come_back_and_a_script_calls_instead(tmp_path: Path) -> None:
    async def echo_and_mark(socket: ServerConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["event"] == "media":
                await socket.send(json.dumps({"event": "media", "media": {"payload": message["media"]["payload"]}}))
            if message["event"] == "start":
                await socket.send('{"event": "mark", "mark": {"name": "begun"}}')

    script = tmp_path / "wants_it_back.toml"
    (tmp_path / "word.wav").write_bytes(write_wav(speech(0.06), sample_rate=8000))
    (tmp_path / "words.wav").write_bytes(write_wav(np.tile(speech(0.06), 8), sample_rate=8000))
    script.write_text('[[step]]\nsay = "words.wav"\n\n[[step]]\nlisten = "audio"\nfile = "word.wav"\nwithin = 0.4\n')
    with far_side(echo_and_mark) as url:
        result = call(url, "--script", script)
    assert result.exit_code == 0, result.output
    assert "marks     1 received, 1 returned" in result.output
    with far_side(ignore) as url:
        result = call(url, "--script", script)
    assert result.exit_code == 1
    assert "the script failed at step 2 (listen): word.wav was not heard within 0.4 s" in result.output


async def closes_early(socket: ServerConnection) -> None:
    for _ in range(5):
        await socket.recv()
    await socket.close()


async def closes_for_a_reason(socket: ServerConnection) -> None:
    for _ in range(5):
        await socket.recv()
    await socket.close(1008, "no token")


def says(text: str | bytes) -> Media:
    async def say(socket: ServerConnection) -> None:
        await socket.send(text)
        await ignore(socket)

    return say


@pytest.mark.parametrize(
    ("media", "problem"),
    [
        (says("hello"), "problem   "),
        (says(b"\x00"), "a binary message"),
        (says('{"event": "media", "media": {"payload": "%%%"}}'), "problem   "),
        (says('{"event": "media", "media": {"payload": "/w=="}}'), "want 20 ms up to 30 s"),
        (says('{"event": "play"}'), "there is no event 'play'"),
        (closes_early, "closed the socket before the caller hung up"),
        (closes_for_a_reason, "1008 (policy violation) no token"),
    ],
    ids=["no JSON", "binary", "no base64", "too short", "unknown", "closes early", "closes for a reason"],
)
def test_a_far_side_that_breaks_the_protocol_is_told_of_and_ends_with_1(media: Media, problem: str, said: Path) -> None:
    with far_side(media) as url:
        result = call(url, "--wav", said, "--silence-after", "0")
    assert result.exit_code == 1, result.output
    assert problem in result.output


@pytest.mark.parametrize("fault", ["socket.cut_after=0.1", "start.never=true", "media.lost=0.5"])
def test_what_the_faults_do_is_not_the_far_sides_failure(fault: str, said: Path) -> None:
    with far_side(echo) as url:
        result = call(url, "--wav", said, "--fault", fault, "--silence-after", "0")
    assert result.exit_code == 0, result.output


def test_a_far_side_that_falls_over_a_malformed_frame_is_told_of(said: Path) -> None:
    with far_side(echo) as url:
        result = call(url, "--wav", said, "--fault", "media.malformed=1")
    assert result.exit_code == 1
    assert "1011 (internal error)" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ws://127.0.0.1:9/media"], "the socket cannot be opened: ConnectionRefusedError"),
        (["http://127.0.0.1:9/media"], "does not begin with ws:// or wss://"),
        (["ws://127.0.0.1:9", "--codec", "GSM"], "--codec"),
        (["ws://127.0.0.1:9", "--codec", "L16", "--rate", "8001"], "--rate"),
        (["ws://127.0.0.1:9", "--mode", "wav"], "--mode"),
        (["ws://127.0.0.1:9", "--wav", "absent.wav"], "absent.wav"),
        (["ws://127.0.0.1:9", "--out", "absent/heard.wav"], "absent/heard.wav"),
        (["ws://127.0.0.1:9", "--script", "shouts"], "there is no script 'shouts'"),
        (["ws://127.0.0.1:9", "--script", "absent.toml"], "absent.toml"),
        (["ws://127.0.0.1:9", "--faults", "absent.toml"], "absent.toml"),
        (["ws://127.0.0.1:9", "--fault", "media.late=1"], "media.late"),
        (["ws://127.0.0.1:9", "--switch", "timestamp=fortnights"], "timestamp"),
        (["ws://127.0.0.1:9", "--wav", "a.wav", "--script", "b"], "--wav or --script"),
    ],
)
def test_what_cannot_be_called_ends_with_2_and_says_why(arguments: list[str], words: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Traceback" not in result.output
