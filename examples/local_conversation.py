"""A conversation in which everything is local: no account, no network, no key.

    .venv/bin/python examples/local_conversation.py

Somebody calls the agent below. It asks by espeak-ng which department they want, hears the answer by pocketsphinx, which
knows the three words of its grammar and no others, says it back and hangs up. The caller of the simulator is spoken by
espeak-ng too. The call is recorded, and its transcript kept. The exit status is 0 only if the word was understood and
the caller has heard the answer.

It needs the program espeak-ng (on Debian: apt-get install espeak-ng) and the extra `asr-local`.
"""

import asyncio
import base64
import sys
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from audio_codecs import Samples
from gateway import Agent, Call, Gateway, Settings
from gateway.config import Address
from gateway.logs import make_log
from gateway.media.resample import Resampler
from gateway.simulator import Simulator
from gateway.simulator.casting import InlineScript
from gateway.simulator.wav import write_wav
from gateway.sinks.process import WorkerProcesses
from gateway.speech import open_speech
from gateway.store.store import open_store
from gateway.transcribe.opening import open_transcriber
from gateway.transcribe.segment import Segment

DEPARTMENTS: Final = ("billing", "support", "sales")
LOOPBACK: Final = Address("127.0.0.1", 0)
API_KEY: Final = "local-conversation"
SCRIPT: Final = """
[[step]]
listen = "speech"
within = 10.0

[[step]]
listen = "silence"
within = 10.0
lasting = 1.0

[[step]]
say = "answer.wav"

[[step]]
listen = "speech"
within = 5.0

[[step]]
wait = 15.0
"""


class Switchboard(Agent):
    """Asks for a department, and says it back.

    Args:
        processes: Where the recogniser lives.
    """

    def __init__(self, processes: WorkerProcesses) -> None:
        self._processes = processes

    async def run(self, call: Call) -> None:
        """Have the conversation."""
        understood: asyncio.Queue[str] = asyncio.Queue()

        def heard(segment: Segment) -> None:
            if segment.final:
                understood.put_nowait(segment.text)

        ears = f"pocketsphinx:?phrases={','.join(DEPARTMENTS)}"
        async with open_transcriber(ears, call.info, on_segment=heard, processes=self._processes) as transcriber:
            call.listen(transcriber, "transcriber")
            await call.say("Good morning. Do you want billing, support, or sales?")
            try:
                async with asyncio.timeout(10):
                    department = await understood.get()
            except TimeoutError:
                await call.say("I did not hear that. Goodbye.")
            else:
                await call.say(f"I have understood {department}. Goodbye.")
            await call.hangup()
            await call.wait_ended()


async def speak(text: str) -> Samples:
    """What espeak-ng makes of a text, at 8000 Hz."""
    async with open_speech("espeak:?voice=en-us") as speech:
        pieces = [piece async for piece in speech.speak(text)]
    resampler = Resampler(speech.sample_rate, 8000)
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.flush()])


async def get(gateway: Gateway, path: str) -> Any:
    """Ask the gateway's API."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.json()


async def main() -> int:
    """Have somebody call, and say what came of it."""
    wanted = "support"
    folder = Path("data") / time.strftime("conversation-%Y%m%d-%H%M%S")
    log = make_log("warning", "text")
    answer = base64.b64encode(write_wav(await speak(wanted), sample_rate=8000)).decode()
    async with Simulator(LOOPBACK, log=log) as simulator:
        settings = Settings(
            media_listen=LOOPBACK,
            http_listen=LOOPBACK,
            data_dir=folder,
            api_key=API_KEY,
            speech="espeak:?voice=en-us",
            telnyx_api_key="any",
            telnyx_public_key=(simulator.public_key,),
            telnyx_base_url=simulator.rest_url,
        )
        async with (
            asyncio.timeout(90),
            WorkerProcesses() as processes,
            Gateway(settings, agent=lambda: Switchboard(processes), log=log) as gateway,
        ):
            call = simulator.place_call(
                from_="+15550100001",
                to="+15550100002",
                script=InlineScript(toml=SCRIPT, sounds={"answer.wav": answer}),
                webhook_url=f"{gateway.http_url}/webhooks/telnyx",
            )
            await call.wait_finished()
            await asyncio.sleep(1.0)  # what is kept of it is written behind the call
            record = await get(gateway, f"/v1/calls/{call.leg.call_control_id}")
    async with open_store(folder / "gateway.db", keep_days=30, log=log) as store:
        segments = await store.transcript(call.leg.call_control_id)
    recordings = sorted(folder.glob("recordings/*/recording.wav"))
    failures = [step["failure"] for step in call.describe()["person"] if step["failure"]]
    for segment in segments:
        print(f"{segment['start']:6.2f} s  {segment['track']}: {segment['text']}")
    print(f"heard by the caller: {sum(length for _, length in call.journal.heard.pieces) / 8000:.1f} s of speech")
    print(f"recording: {recordings[0] if recordings else 'none'}")
    understood = [segment["text"] for segment in segments] == [wanted]
    right = understood and recordings and not failures and record["media"]["agent_error"] is None
    print("It went well." if right else f"It went wrong: wanted {wanted!r}; {failures or record['media']}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
