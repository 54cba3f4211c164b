"""The pytest plugin as other people's tests use it: pytest runs in here, on small test modules of its own."""

import re
import socket
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gateway.simulator.background  # noqa: F401 - pytester forgets what is imported later, and numpy must stay

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]

APPLICATION = '''
import asyncio
import contextlib
import json
import threading
import urllib.request

import pytest
from aiohttp import ClientSession, web


class Application:
    """Answers every call with a stream, and echoes on it."""

    def __init__(self, base_url, **stream):
        self.base_url, self.stream = base_url, stream

    async def webhook(self, request):
        data = (await request.json())["data"]
        if data["event_type"] == "call.initiated":
            url = f"{self.base_url}/calls/{data['payload']['call_control_id']}/actions/answer"
            headers = {"Authorization": "Bearer key"}
            body = {"stream_url": self.url.replace("http", "ws") + "/media", **self.stream}
            async with ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
                answer.raise_for_status()
        return web.Response()

    async def media(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            event = json.loads(message.data)
            if event["event"] == "media":
                await socket.send_json({"event": "media", "media": {"payload": event["media"]["payload"]}})
        return socket

    @contextlib.asynccontextmanager
    async def run(self):
        application = web.Application()
        application.add_routes([web.post("/webhooks", self.webhook), web.get("/media", self.media)])
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self.webhook_url = self.url + "/webhooks"
            yield self
        finally:
            await runner.cleanup()

    @contextlib.contextmanager
    def run_in_thread(self):
        ready, loop = threading.Event(), asyncio.new_event_loop()

        async def serve():
            self.stop = asyncio.Event()
            async with self.run():
                ready.set()
                await self.stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        ready.wait(5)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self.stop.set)
            thread.join(5)
            loop.close()
'''

SHORT = '''
ECHO = """
title = "Says a word again and again, and wants it back: once at least without a hole, on the busiest machine"

[[step]]
say = "words.wav"

[[step]]
listen = "audio"
file = "word.wav"
within = 0.6
"""
import numpy as np

WORD = np.random.default_rng(1).integers(-9000, 9000, 480, dtype=np.int16)
WORDS = np.tile(WORD, 8)
SOUNDS = {"word.wav": WORD, "words.wav": WORDS}
'''


@pytest.fixture
def outside(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder of tests that knows the plugin as an installed one, whether this project is installed or not."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(application=APPLICATION + SHORT)
    return pytester


def run(outside: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    outside.makepyfile(test_application="from application import *\n" + tests)
    return outside.runpytest_inprocess(*installed(), "-p", "no:cacheprovider", *options)


def installed() -> list[str]:
    """What loads the plugin where no entry point does."""
    known = [point.value for point in entry_points(group="pytest11")]
    return [] if "pytest_telnyx_simulator" in known else ["-p", "pytest_telnyx_simulator"]


def test_an_application_that_forgets_the_mode_fails_and_the_mended_one_passes(outside: pytest.Pytester) -> None:
    result = run(
        outside,
        """
@pytest.mark.parametrize("stream", [{}, {"stream_bidirectional_mode": "rtp"}], ids=["forgot", "mended"])
def test_echo(telnyx_simulator, stream):
    with Application(telnyx_simulator.rest_url, **stream).run_in_thread() as application:
        call = telnyx_simulator.call(ECHO, sounds=SOUNDS, webhook_url=application.webhook_url)
    call.check()
    assert call.steps[1]["verb"] == "listen"
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    output = result.stdout.str()
    assert "AssertionError: step 2 (listen): word.wav was not heard within 0.6 s" in output
    assert "is stream_bidirectional_mode 'rtp'?" in output
    assert "FAILED test_application.py::test_echo[forgot]" in output
    for line in ("call     state=answered", "action=answer", "event_type=call.initiated", "person   step=1 verb=say"):
        assert line in output, line


def test_an_application_on_the_loop_of_the_test_is_called_too(outside: pytest.Pytester) -> None:
    result = run(
        outside,
        """
async def test_echo(telnyx_simulator):
    async with Application(telnyx_simulator.rest_url, stream_bidirectional_mode="rtp").run() as application:
        call = await telnyx_simulator.call_async(wav=WORDS, silence_after=0.3, webhook_url=application.webhook_url)
        with pytest.raises(RuntimeError, match="call_async"):
            telnyx_simulator.call(wav=WORD, webhook_url=application.webhook_url)
    call.check()
    assert call.hangup_cause == "normal_clearing" and call.hangup_source == "caller"
    assert call.messages_sent["media"] >= call.messages_received["media"] > 20
    assert [hook["event_type"] for hook in call.webhooks][:2] == ["call.initiated", "call.answered"]
    assert all(hook["delivered"] for hook in call.webhooks)
    heard, sent = (sound[sound != 0] for sound in (call.heard, call.sent_audio))
    assert len(sent) > 3000 and np.array_equal(heard[:3000], sent[:3000])
""",
    )
    result.assert_outcomes(passed=1)


def test_options_come_from_a_fixture_and_from_markers(outside: pytest.Pytester) -> None:
    result = run(
        outside,
        """
import urllib.error

@pytest.fixture
def telnyx_simulator_options():
    return {"api_key": "ours", "switches": {"unknown_call": "404"}}

def status_of_unknown(simulator, key="ours"):
    url = simulator.rest_url + "/calls/v3:nobody"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    refused.value.close()
    return refused.value.code

def test_fixture(telnyx_simulator):
    assert status_of_unknown(telnyx_simulator) == 404
    assert status_of_unknown(telnyx_simulator, "theirs") == 401

@pytest.mark.telnyx_simulator(switches={"unknown_call": "422"})
def test_marker(telnyx_simulator):
    assert status_of_unknown(telnyx_simulator) == 422
    assert status_of_unknown(telnyx_simulator, "theirs") == 401

@pytest.mark.telnyx_simulator(swiches={})
def test_unknown_option(telnyx_simulator):
    pass

@pytest.mark.telnyx_simulator(switches={"unknown_call": "418"})
def test_unknown_value(telnyx_simulator):
    pass
""",
        "--strict-markers",
    )
    result.assert_outcomes(passed=2, errors=2)
    assert "unexpected keyword argument 'swiches'" in result.stdout.str()
    assert "unknown_call" in result.stdout.str()


def test_a_run_that_does_not_ask_for_the_fixture_imports_nothing_of_the_gateway(outside: pytest.Pytester) -> None:
    outside.makepyfile(
        test_other="""
import sys

def test_other():
    assert "pytest_telnyx_simulator" in sys.modules
    assert not {"gateway", "numpy", "aiohttp"} & set(sys.modules)
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", *installed(), "-p", "no:cacheprovider", "test_other.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        command, cwd=outside.path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_walk_in_the_docs_fails_and_passes_as_it_says(outside: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "simulator.md").read_text("utf-8")
    walk = page.split("## Test your own application")[1].split("### The fixture")[0]
    with socket.create_server(("127.0.0.1", 0)) as server:  # not the port of the page, as another run may use it
        port = str(server.getsockname()[1])
    application, tests, mended = (
        block.replace("5055", port) for block in re.findall(r"```python\n(.*?)```", walk, re.DOTALL)
    )
    tests = tests.replace('"hears_an_echo"', "ECHO, sounds=SOUNDS")  # who says less than on the page
    forgets = next(line for line in application.splitlines(keepends=True) if "stream_url" in line)
    failure = re.search(r"AssertionError: step 2 .*", walk)
    assert failure is not None
    for source, outcome in ((application, "failed"), (application.replace(forgets, mended), "passed")):
        outside.makepyfile(app=source)
        result = run(outside, tests)
        result.assert_outcomes(**{outcome: 1})
        shown = failure[0].replace("booking.wav", "word.wav").replace("within 2 s", "within 0.6 s")
        assert (re.sub(r"\d+ media", "N media", shown) in re.sub(r"\d+ media", "N media", result.stdout.str())) == (
            outcome == "failed"
        )
