"""What the transcribers of three services say and are told, in runs against our fakes: JSON on standard output.

Run by `peer.py` with the Python of the project: `python -m tests.peers.transcriber_sdks.record`.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import structlog

from audio_codecs import decode_ulaw, encode_ulaw
from gateway.media.frame import AudioFrame
from gateway.sinks.base import StreamInfo
from gateway.sinks.url import SinkConfig, SinkUrl
from gateway.transcribe.opening import make_service
from gateway.transcribe.streaming import open_streaming
from tests.gateway.transcribe.fake_services import AssemblyAIFake, DeepgramFake, Fake, OpenAIFake
from tests.gateway.transcribe.recogniser import speech

KINDS: tuple[type[Fake], ...] = (DeepgramFake, OpenAIFake, AssemblyAIFake)


async def record(kind: type[Fake]) -> dict[str, Any]:
    """One run: an utterance, another that is cut off by the end, and a sign of life."""
    finals: list[str] = []
    info = StreamInfo(
        call_control_id="v3:call",
        stream_id="stream",
        call_session_id=None,
        inbound_encoding="PCMU",
        inbound_sample_rate=8000,
        played_encoding="PCMU",
        played_sample_rate=8000,
        client_state=None,
        custom_parameters={},
        started_at=0.0,
        report=dict,
        publish=lambda event_type, data: finals.append(data["text"]) if data["final"] else None,
    )
    log = structlog.get_logger()
    async with kind().running() as fake:
        url = SinkUrl.parse(fake.url)
        config = SinkConfig(path=url.path, options=url.options, data_dir=Path(), log=log)
        service = make_service(config, url.scheme, {str(fake.variable): fake.key})
        async with open_streaming(service, info, log=log) as sink:
            sound, _ = speech("1 2 3", "4 5")
            for at in range(0, len(sound), 160):
                payload = encode_ulaw(sound[at : at + 160])
                await sink.write(AudioFrame("inbound", decode_ulaw(payload), 8000, at, payload))
        alive = service.session(service.audio_format("PCMU", 8000)).keep_alive()
        return {
            "transcript": " ".join(finals),
            "path": fake.requests[0].path,
            "told": [json.loads(text) for text in fake.told],
            "heard": [json.loads(text) for text in fake.heard] + ([] if alive is None else [json.loads(alive)]),
        }


async def main() -> None:
    """Record all of them."""
    json.dump({kind.scheme: await record(kind) for kind in KINDS}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
