"""A simulator in a thread and on an event loop of its own, for tests: whatever the test and the application run on.

with BackgroundSimulator() as simulator:
    call = simulator.call("hears_an_echo", webhook_url="http://127.0.0.1:5000/webhooks")
    call.check()
"""

import asyncio
import base64
import os
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypedDict, Unpack
from urllib.parse import urlsplit

import numpy as np

from audio_codecs import Samples
from gateway.config import parse_address
from gateway.logs import make_log
from gateway.simulator.call_result import CallResult, describe_call
from gateway.simulator.casting import InlineScript, find_script, inline
from gateway.simulator.faults import NO_FAULTS, Faults
from gateway.simulator.script import ScriptError, library
from gateway.simulator.simulator import Simulator
from gateway.simulator.speech import SAMPLE_RATE
from gateway.simulator.switches import Switches
from gateway.simulator.wav import read_wav, write_wav

__all__ = ["BackgroundSimulator", "CallOptions", "Sound"]

Sound: TypeAlias = str | os.PathLike[str] | bytes | Samples
"""A WAV file (8000 Hz, mono, 16 bit) by its path or as its octets, or samples: int16 at 8000 Hz."""


class CallOptions(TypedDict, total=False):
    """How a call is placed.

    Attributes:
        webhook_url: Where it reports; the simulator's own `webhook_url` if not given.
        from_, to: The numbers.
        sounds: WAV files by the names that a script in TOML has for them; those of the library are there already.
        wav: Without a script: what the caller says.
        silence_after: And how much silence follows before hanging up, 0.5 s; None stays until `timeout`.
        gives_up_after: Seconds that the caller lets it ring, 10.
        custom_headers: SIP headers that arrive in `call.initiated`.
    """

    webhook_url: str
    from_: str
    to: str
    sounds: Mapping[str, Sound]
    wav: Sound
    silence_after: float | None
    gives_up_after: float | None
    custom_headers: list[dict[str, str]]


_START_TIMEOUT: Final = 10.0
_STOP_TIMEOUT: Final = 10.0
_GRACE: Final = 20.0
"""Seconds that a call which was given up has to end: its last webhooks may have to be tried again."""


class BackgroundSimulator:
    """A context manager; the simulator runs while it is entered. Its methods may be called from any thread.

    Args:
        listen: Where REST comes in, host:port.
        switches: What Telnyx leaves open, by name.
        faults: What goes wrong, such as `{"media": {"lost": 0.1}}`.
        **options: As `Simulator` takes them. A webhook is sent again after 0.5 and 1 s only, unless `retry_delays` say
            otherwise: a test should not wait for an application that is not there.
    """

    def __init__(
        self,
        *,
        listen: str = "127.0.0.1:0",
        switches: Mapping[str, Any] | Switches | None = None,
        faults: Mapping[str, Any] | Faults = NO_FAULTS,
        **options: Any,
    ) -> None:
        if switches is not None and not isinstance(switches, Switches):
            switches = Switches.model_validate(dict(switches))
        if not isinstance(faults, Faults):
            faults = Faults.model_validate(dict(faults))
        chosen: dict[str, Any] = {"retry_delays": (0.5, 1.0), "log": make_log("warning")} | options
        self._simulator = Simulator(parse_address(listen), switches=switches, faults=faults, **chosen)
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="telnyx simulator", daemon=True)

    @property
    def rest_url(self) -> str:
        """What the application takes as `TELNYX_BASE_URL`, such as `http://127.0.0.1:12111/v2`."""
        return self._simulator.rest_url

    @property
    def sim_url(self) -> str:
        """The simulator's own paths, such as `http://127.0.0.1:12111/sim`; see docs/simulator.md."""
        return self._simulator.sim_url

    @property
    def public_key(self) -> str:
        """What the application takes as `TELNYX_PUBLIC_KEY`."""
        return self._simulator.public_key

    @property
    def environment(self) -> dict[str, str]:
        """What an application in a process of its own reads, as Telnyx's packages name it."""
        return {
            "TELNYX_BASE_URL": self.rest_url,
            "TELNYX_PUBLIC_KEY": self.public_key,
            "TELNYX_API_KEY": "KEY-of-the-simulator",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(_START_TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop, stop = self._started.result()
        with suppress(RuntimeError):  # the loop is closed: it has stopped by itself
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(_STOP_TIMEOUT)
        if self._thread.is_alive():
            raise RuntimeError(f"the simulator did not stop within {_STOP_TIMEOUT:g} s")

    def wait_for(self, url: str, *, timeout: float = 10.0) -> None:
        """Wait until something listens at a URL: an application that was just started in a process of its own.

        Raises:
            TimeoutError: Nothing did in time.
        """
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or {"https": 443, "wss": 443}.get(parts.scheme, 80))
        latest = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection(address, timeout=1.0).close()
            except OSError as error:
                if time.monotonic() > latest:
                    raise TimeoutError(f"nothing listens at {url} after {timeout:g} s: {error}") from error
                time.sleep(0.05)
            else:
                return

    def call(
        self, script: str | os.PathLike[str] | None = None, *, timeout: float = 30.0, **options: Unpack[CallOptions]
    ) -> CallResult:
        """Have somebody call the application, and wait for the end of it.

        Args:
            script: What the caller does: a name of the library, the path of a TOML file (whose sounds lie beside it),
                or TOML itself; None says `wav`, or nothing, and hangs up.
            timeout: Seconds after which the caller hangs up, and the call has failed.
            **options: The rest of it.

        Raises:
            ValueError: There is no such script, or it cannot be followed, or a sound is none.
            Refusal: The simulator does not take the call: there is nowhere to report to, or there are too many.
            RuntimeError: The event loop of this thread runs: there it is `await telnyx_simulator.call_async(...)`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._submit(script, timeout, options).result()
        raise RuntimeError("in a coroutine this would block the event loop: await telnyx_simulator.call_async(...)")

    async def call_async(
        self, script: str | os.PathLike[str] | None = None, *, timeout: float = 30.0, **options: Unpack[CallOptions]
    ) -> CallResult:
        """The same as `call`, for a test that is a coroutine; the application may run on the same event loop."""
        return await asyncio.wrap_future(self._submit(script, timeout, options))

    def _submit(
        self, script: str | os.PathLike[str] | None, timeout: float, options: CallOptions
    ) -> "Future[CallResult]":
        if not self._thread.is_alive():
            raise RuntimeError("the simulator does not run: enter its context first")
        loop, _ = self._started.result()
        return asyncio.run_coroutine_threadsafe(self._call(script, timeout, options), loop)

    async def _call(self, script: str | os.PathLike[str] | None, timeout: float, options: CallOptions) -> CallResult:
        source = None if script is None else _source(script, options.get("sounds", {}))
        call = self._simulator.exchange.place_call(
            from_=options.get("from_", "+15550100001"),
            to=options.get("to", "+15550100002"),
            script=source,
            speech=read_wav(_octets(options["wav"]), sample_rate=SAMPLE_RATE) if "wav" in options else None,
            silence_after=options.get("silence_after", 0.5),
            gives_up_after=options.get("gives_up_after", 10.0),
            webhook_url=options.get("webhook_url"),
            custom_headers=options.get("custom_headers"),
        )
        gave_up = False
        try:
            async with asyncio.timeout(timeout):
                await call.wait_finished()
        except TimeoutError:
            gave_up = True
        finally:
            if call.leg.ending is None:
                call.person_hangs_up()
        if gave_up:
            async with asyncio.timeout(_GRACE):
                await call.wait_finished()
        followed = None if source is None else find_script(source)
        return describe_call(call, followed, gave_up_after=timeout if gave_up else None)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise  # pytest reports what a thread raises
            self._started.set_exception(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        async with self._simulator:
            self._started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()


def _source(script: str | os.PathLike[str], sounds: Mapping[str, Sound]) -> str | InlineScript:
    """What `place_call` takes as a script."""
    if isinstance(script, str) and "\n" in script:
        ours = {path.name: path for path in next(iter(library().values())).parent.glob("*.wav")}
        octets = {name: base64.b64encode(_octets(sound)).decode() for name, sound in (ours | dict(sounds)).items()}
        return InlineScript(toml=script, sounds=octets)
    if sounds:
        raise ScriptError("`sounds` go with a script that is given as TOML; a file's sounds lie beside it")
    if isinstance(script, str) and not script.endswith(".toml"):
        return script
    return inline(Path(script))


def _octets(sound: Sound) -> bytes:
    if isinstance(sound, bytes):
        return sound
    if isinstance(sound, np.ndarray):
        return write_wav(sound, sample_rate=SAMPLE_RATE)
    return Path(sound).read_bytes()
