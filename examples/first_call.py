"""A first call, with no account: starts the gateway and a simulated Telnyx, has somebody call, and checks every sample.

    make demo

The gateway runs with its echo agent. A caller says a recorded sentence, hears it back, keeps silent for a second and
hangs up. Afterwards three sounds are compared with what was sent, sample for sample and never by time: the left
channel of the gateway's recording, the pieces of sound in its right channel, and what the caller heard. The echo of
the last moments may be cut off by the hang-up, so the latter two must be what was sent from its beginning, and at
least as long as the speech. The exit status is 0 only if all of it holds.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
import time
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from audio_codecs import Samples, decode_ulaw, encode_ulaw

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT / "examples" / "speech" / "booking.wav"
SILENCE_AFTER = 1.0
TIMEOUT = 60.0

console = Console(highlight=False)


class DemoError(Exception):
    """The demo cannot go on."""


class Program:
    """`python -m gateway ...` in a process of its own; its log is a file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    async def ready(self) -> dict[str, str]:
        """Wait for the line `ready key=value ...`."""
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if not line.startswith("ready "):
            raise DemoError(f"the {self.name} did not start: it said {line!r}")
        return dict(word.split("=", 1) for word in line.split()[1:])

    async def stop(self) -> int:
        """End it as an operator would, with SIGTERM; returns its exit status."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(10):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-20:])


@asynccontextmanager
async def start(name: str, *arguments: str, folder: Path, settings: dict[str, str]) -> AsyncIterator[Program]:
    """Start a program with these settings and none of the user's own; it is gone when the context is left."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY_", "TELNYX_"))}
    log = folder / f"{name}.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *arguments),
            cwd=ROOT,
            env=environment | settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is for this program, which then stops the others
        )
    program = Program(name, process, log)
    try:
        yield program
    finally:
        await program.stop()


async def get(session: aiohttp.ClientSession, url: str, key: str | None = None) -> Any:
    """Fetch JSON."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with session.get(url, headers=headers) as answer:
        if answer.status != 200:
            raise DemoError(f"GET {url} answered {answer.status}: {await answer.text()}")
        return await answer.json()


async def place_call(session: aiohttp.ClientSession, sim: str, webhook_url: str) -> str:
    """Have somebody call the gateway; returns the call's id."""
    call = {
        "from": "+15550100001",
        "to": "+15550100002",
        "audio": base64.b64encode(SPEECH.read_bytes()).decode(),
        "webhook_url": webhook_url,
        "silence_after": SILENCE_AFTER,
    }
    async with session.post(f"{sim}/calls", json=call) as answer:
        if answer.status != 200:
            raise DemoError(f"the call was refused: {await answer.text()}")
        return str((await answer.json())["data"]["call_control_id"])


async def watch(session: aiohttp.ClientSession, sim: str) -> None:
    """Show the call's progress until the simulator is through with it."""
    started = time.monotonic()
    told = 0
    with console.status("the phone rings") as status:
        while True:
            (call,) = (await get(session, f"{sim}/calls"))["data"]
            elapsed = time.monotonic() - started
            answered = [webhook for webhook in call["webhooks"] if webhook["attempts"]]
            for webhook in answered[told:]:
                console.print(f"  {elapsed:5.1f} s  {webhook['event_type']}")
            told = len(answered)
            sent, received = (call[f"messages_{way}"].get("media", 0) for way in ("sent", "received"))
            status.update(f"{elapsed:.0f} s: {sent} frames from the caller, {received} back")
            if call["finished"]:
                return
            await asyncio.sleep(0.25)


async def final_record(session: aiohttp.ClientSession, http: str, key: str, folder: Path) -> tuple[Any, Path, Any]:
    """Wait until the gateway has done with the call; returns its record, the recording's folder and its sidecar."""
    for _ in range(100):
        (record,) = (await get(session, f"{http}/v1/calls", key))["calls"]
        recording = ((record["media"] or {}).get("sinks", {}).get("recorder") or {}).get("recording")
        if record["state"] in ("ended", "stored") and recording is not None:
            place = folder / "recordings" / recording
            sidecar = json.loads((place / "recording.json").read_text("utf-8"))
            if sidecar["complete"]:
                return record, place, sidecar
        await asyncio.sleep(0.1)
    raise DemoError(f"the gateway is not done with the call after 10 s: {json.dumps(record)}")


def read_wav(path: Path | str) -> Samples:
    """Samples of a 16-bit file: int16, shape (n, channels)."""
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())


def join(line: Samples, pieces: list[list[int]]) -> Samples:
    """The pieces of sound on a time line, without the silence between them."""
    return np.concatenate([line[:0], *(line[position : position + length] for position, length in pieces)])


def difference(found: Samples, wanted: Samples, *, at_least: int) -> str:
    """What keeps `found` from being `wanted` from its beginning, for at least so many samples; empty if nothing."""
    if len(found) < at_least:
        return f"{len(found)} samples, want {at_least} at least"
    if len(found) > len(wanted):
        return f"{len(found)} samples, more than the {len(wanted)} that were sent"
    differing = np.flatnonzero(found != wanted[: len(found)])
    return f"{len(differing)} samples differ, the first is number {differing[0]}" if len(differing) else ""


def round_trips_ms(sent: list[tuple[float, int]], received: list[tuple[float, int]]) -> npt.NDArray[np.float64]:
    """From each media message to the one that brought its last octet back: milliseconds."""
    sent_at, sent_octets = np.array(sent).T
    received_at, received_octets = np.array(received).T
    ends = np.cumsum(sent_octets)
    index = np.searchsorted(np.cumsum(received_octets), ends)
    back = index < len(received_at)
    trips: npt.NDArray[np.float64] = 1000 * (received_at[index[back]] - sent_at[back])
    return trips


def check(
    call: Any, record: Any, sidecar: Any, place: Path, said: Samples, heard_line: Samples
) -> list[tuple[str, str]]:
    """Every claim of the demo with what speaks against it; empty where nothing does."""
    speech = read_wav(SPEECH)[:, 0]
    recording = read_wav(place / "recording.wav")
    left, right = recording[:, 0], recording[:, 1]
    received = record["media"]["received"]
    webhooks = call["webhooks"]
    refused = [f"{one['event_type']}: {one['status'] or one['error']}" for one in webhooks if not one["delivered"]]
    missing = call["messages_sent"]["media"] - received["packets_received"] + received["packets_lost"]
    whole, spoken = len(said), len(speech)
    left_rest = "" if not left[whole:].any() else "there is sound after the last sample that was sent"
    return [
        (f"{len(webhooks)} webhooks signed, verified and accepted", "; ".join(refused)),
        ("no frame lost", f"{missing} missing" if missing else ""),
        (
            "what was sent begins with the recorded sentence, as PCMU",
            difference(decode_ulaw(encode_ulaw(speech)), said, at_least=spoken),
        ),
        (
            f"left channel of the recording: all {whole} samples that were sent",
            difference(left[:whole], said, at_least=whole) or left_rest,
        ),
        *(
            (
                f"{name}: the first {len(echo)} of {whole} samples (speech: {spoken})",
                difference(echo, said, at_least=spoken),
            )
            for name, echo in (
                ("right channel of the recording", join(right, sidecar["played_pieces"])),
                ("what the caller heard", join(heard_line, call["heard_pieces"])),
            )
        ),
    ]


def report(call: Any, record: Any, place: Path, claims: list[tuple[str, str]]) -> None:
    """Print what happened."""
    sent, back = call["messages_sent"]["media"], call["messages_received"].get("media", 0)
    lost = record["media"]["received"]["packets_lost"]
    table = Table.grid(padding=(0, 2))
    table.add_row("frames", f"{sent} from the caller, {lost} lost, {back} back")
    if back:
        p50, p99 = np.percentile(round_trips_ms(call["media_sent"], call["media_received"]), [50, 99])
        table.add_row("added latency", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms: each frame's way there and back")
    for claim, complaint in claims:
        table.add_row("[red]WRONG[/]" if complaint else "[green]ok[/]", f"{claim}: {complaint}" if complaint else claim)
    console.print(table)
    console.print(
        f"The recording, and what was said and heard: {place.relative_to(ROOT) / 'recording.wav'}", soft_wrap=True
    )


async def demo(folder: Path, programs: list[Program]) -> bool:
    """Run the demo; returns whether everything was right."""
    key = secrets.token_urlsafe(24)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        simulator = await stack.enter_async_context(
            start("simulator", "simulate", "--listen", "127.0.0.1:0", folder=folder, settings={})
        )
        programs.append(simulator)
        telnyx = await simulator.ready()
        settings = {
            "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
            "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
            "GATEWAY_AGENT": "echo",
            "GATEWAY_API_KEY": key,
            "GATEWAY_DATA_DIR": str(folder),
            "TELNYX_API_KEY": secrets.token_urlsafe(24),
            "TELNYX_PUBLIC_KEY": telnyx["public_key"],
            "TELNYX_BASE_URL": telnyx["rest"],
        }
        gateway = await stack.enter_async_context(start("gateway", "serve", folder=folder, settings=settings))
        programs.append(gateway)
        http = (await gateway.ready())["http"]
        sim = telnyx["rest"].removesuffix("/v2") + "/sim"

        console.print("Gateway and simulated Telnyx are up; somebody calls.")
        call_control_id = await place_call(session, sim, f"{http}/webhooks/telnyx")
        await watch(session, sim)
        record, place, sidecar = await final_record(session, http, key, folder)

        url = f"{sim}/calls/{call_control_id}"
        call = (await get(session, url))["data"]
        sounds = []
        for name in ("said", "heard"):
            async with session.get(f"{url}/{name}.wav") as answer:
                path = folder / f"{name}.wav"
                path.write_bytes(await answer.read())
                sounds.append(read_wav(path)[:, 0])
        claims = check(call, record, sidecar, place, *sounds)
        for program in (gateway, simulator):
            status = await program.stop()
            claims.append((f"the {program.name} ended cleanly", f"exit status {status}" if status else ""))
    report(call, record, place, claims)
    return not any(complaint for _, complaint in claims)


async def main() -> int:
    """Run the demo within its time, and say why if it failed."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder = ROOT / "data" / time.strftime("demo-%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    programs: list[Program] = []
    try:
        async with asyncio.timeout(TIMEOUT):
            if await demo(folder, programs):
                console.print("[green]The call came through right.[/]")
                return 0
            console.print("[red]The call did not come through right.[/]")
    except asyncio.CancelledError:
        console.print("Stopped.")  # Ctrl-C or SIGTERM; both programs are gone already
        return 1
    except TimeoutError:
        console.print(f"[red]The demo took more than {TIMEOUT:.0f} s.[/]")
    except (DemoError, aiohttp.ClientError, OSError, KeyError, ValueError) as error:
        console.print(f"[red]The demo failed:[/] {type(error).__name__}: {error}", markup=True)
    for program in programs:
        console.print(f"--- the last of {program.log}")
        console.print(program.tail(), markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
