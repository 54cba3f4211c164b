"""Pipecat's echo pipeline as a media server: the smallest that takes many calls, in an environment of its own.

Its Telnyx serializer, its FastAPI transport, an echo stage; 8 kHz throughout, 20 ms chunks, no silence of its own: the
settings in which it gives back every octet, and the quickest ones.
"""

import json
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner


class Echo(FrameProcessor):  # type: ignore[misc] # has no type where Pipecat is not installed
    """Says what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take one frame of the pipeline."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


async def media(websocket: WebSocket) -> None:
    """One call: a pipeline from its `start` to the end of its socket."""
    await websocket.accept()
    start: dict[str, Any] = {}
    while start.get("event") != "start":
        start = json.loads(await websocket.receive_text())
    serializer = TelnyxFrameSerializer(
        stream_id=start["stream_id"],
        outbound_encoding="PCMU",
        inbound_encoding="PCMU",
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            serializer=serializer,
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            audio_out_auto_silence=False,
            audio_out_end_silence_secs=0,
        ),
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), Echo(), transport.output()]),
        idle_timeout_secs=None,
        enable_rtvi=False,
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000),
    )

    async def gone(*_: Any) -> None:
        await worker.cancel()

    transport.add_event_handler("on_client_disconnected", gone)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    """Serve until killed."""
    logger.remove()
    app = FastAPI()
    app.websocket("/media")(media)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", loop="uvloop", ws_per_message_deflate=False)
    sys.stdout.write(f"ready media=ws://127.0.0.1:{listening.getsockname()[1]}/media\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
