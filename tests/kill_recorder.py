"""Kills a gateway in the middle of its calls, again and again, and looks at what `telnyx-gateway recover` makes of it.

    python -m tests.kill_recorder [--kills 10] [--calls 20]

Every call sends sound in real time and has it echoed; nobody knows when the gateway is killed. Then each recording must
be playable, at most a second shorter than what was sent by that moment, and before its end the same sample by sample:
the caller left, and right what the caller heard.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.exceptions import ConnectionClosed

from tests.gateway.sinks.recorder.recordings import read_wav, sidecar
from tests.integration.phone import PACKET, Phone, samples_of

__all__ = ["Loss", "kill_once"]

ROOT = Path(__file__).parent.parent
RATE = 8000


@dataclass(frozen=True, slots=True)
class Loss:
    """What one kill has cost one call, in seconds.

    Attributes:
        sent: What the caller had sent by then.
        left: What of that is not in the caller's channel.
        right: What of its echo is not in the application's; it comes a little later than the caller's sound.
    """

    sent: float
    left: float
    right: float


class Caller(Phone):
    """Speaks until the line is gone; no sample of what it says is silent."""

    async def speak(self, seed: int) -> None:
        codes = np.delete(np.arange(256, dtype=np.uint8), [0x7F, 0xFF])
        sound = np.random.default_rng(seed).choice(codes, (3000, PACKET))
        due = asyncio.get_running_loop().time()
        with suppress(ConnectionClosed):
            for row in sound:
                due += 0.02
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                await self.say([row.tobytes()], every=0)


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway of its own process, and its media URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve"),
        env=_environment(folder)
        | {"GATEWAY_AGENT": "echo", "GATEWAY_MEDIA_AUTH": "none", "GATEWAY_LOG_LEVEL": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        ready = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        yield process, ready.split("media=")[1].split()[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "codecs"))),
        "GATEWAY_DATA_DIR": str(folder),
        "GATEWAY_MEDIA_LISTEN": "127.0.0.1:0",
        "GATEWAY_HTTP_LISTEN": "127.0.0.1:0",
    }


async def kill_once(folder: Path, *, calls: int, after: float, seed: int = 0) -> list[Loss]:
    """Let calls run, kill the gateway, recover; what it has cost each call.

    Args:
        folder: The gateway's data folder; empty.
        calls: How many at once.
        after: Seconds from the first call to the kill.
        seed: Makes the sound.

    Raises:
        AssertionError: A recording is not there, or has something else in it.
    """
    async with AsyncExitStack() as stack:
        process, url = await stack.enter_async_context(_gateway(folder))
        callers = [await stack.enter_async_context(Caller(url, f"{seed}-{number}")) for number in range(calls)]
        async with asyncio.TaskGroup() as tasks:
            for number, caller in enumerate(callers):
                await caller.begin()
                tasks.create_task(caller.speak(1000 * seed + number))
                await asyncio.sleep(0.02 / calls)
            await asyncio.sleep(after)
            sent = {caller.call_control_id: caller.sent.copy() for caller in callers}
            process.send_signal(signal.SIGKILL)
    command = (sys.executable, "-m", "gateway", "recover")
    recover = await asyncio.create_subprocess_exec(
        *command, env=_environment(folder), stdout=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(recover.wait(), 60) == 0
    places = {sidecar(place)["call_control_id"]: place for place in (folder / "recordings").iterdir()}
    assert set(places) == set(sent)
    return [_loss(places[call], payloads) for call, payloads in sent.items()]


def _loss(place: Path, payloads: Sequence[bytes]) -> Loss:
    values = sidecar(place)
    assert (values["state"], values["ended"], values["complete"]) == ("final", "crash", False), values
    sound, said = read_wav(place / "recording.wav"), samples_of(list(payloads))
    left, right = sound[:, 0], sound[:, 1]
    left = left[: np.flatnonzero(left)[-1] + 1] if left.any() else left[:0]
    heard = right[right != 0]  # nothing that was said is silent, so silence is where nothing was heard
    # A few packets may have been sent while the signal was on its way: they are not in `said`.
    assert np.array_equal(left[: len(said)], said[: len(left)]), f"{place}: the caller's channel is something else"
    assert np.array_equal(heard[: len(said)], said[: len(heard)]), (
        f"{place}: the application's channel is something else"
    )
    return Loss(len(said) / RATE, max(0, len(said) - len(left)) / RATE, max(0, len(said) - len(heard)) / RATE)


def main(argv: Sequence[str] | None = None) -> int:
    """Kill as often as wanted; a line for each, and the exit status 1 if any call lost more than a second."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_recorder", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="makes the moments; another each time if not given")
    options = parser.parse_args(argv)
    moments = random.Random(options.seed)
    worst = 0.0
    for number in range(options.kills):
        after = moments.uniform(1.5, 8.0)
        with tempfile.TemporaryDirectory(prefix="kill-recorder-") as folder:
            losses = asyncio.run(kill_once(Path(folder), calls=options.calls, after=after, seed=number))
        left, right = max(loss.left for loss in losses), max(loss.right for loss in losses)
        worst = max(worst, left)
        lost = f"at most {left:.3f} s lost (echo {right:.3f} s)"
        print(f"kill {number + 1} after {after:.2f} s: {len(losses)} calls, {lost}")
    print(f"at most {worst:.3f} s of a caller lost, everything before exact")
    return 0 if worst <= 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
