"""Telnyx's end of one media stream, by hand: sends what the test says, keeps what comes back."""

import asyncio
import base64
import json
import wave
from pathlib import Path
from typing import Any, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from audio_codecs import Samples, decode_ulaw
from gateway.protocol.messages import MediaFormat, StartBody
from gateway.protocol.stream import CarrierStream

PACKET = 160


def packets(count: int, seed: int = 1) -> list[bytes]:
    """PCMU packets that all differ, so that none can be taken for another."""
    return [row.tobytes() for row in np.random.default_rng(seed).integers(0, 256, (count, PACKET), np.uint8)]


class Phone:
    """One media socket; an async context manager.

    Attributes:
        sent: The payloads sent as media, in order.
        heard: The payloads that came back, in order.
        messages: Everything else that came back.
        closed: Close code and reason, once the other side has closed.
    """

    def __init__(self, url: str, name: str, *, media_format: MediaFormat | None = None) -> None:
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.call_control_id = f"v3:{name}"
        start = StartBody(call_control_id=self.call_control_id, media_format=media_format or MediaFormat("PCMU", 8000))
        self.stream = CarrierStream(name.upper(), start)
        self.socket: ClientConnection
        self._url = url
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.socket = await connect(self._url, compression=None)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self._reader

    async def text(self, text: bytes | str) -> None:
        """Send anything as one text message."""
        await self.socket.send(text.decode() if isinstance(text, bytes) else text)

    async def begin(self) -> None:
        """Send `connected` and `start`."""
        await self.text(self.stream.send_connected())
        await self.text(self.stream.send_start())

    async def say(self, payloads: list[bytes], *, every: float = 0.02) -> None:
        """Send payloads in their time."""
        for payload in payloads:
            self.sent.append(payload)
            await self.text(self.stream.send_media("inbound", payload, timestamp=20 * len(self.sent)))
            await asyncio.sleep(every)

    async def hang_up(self) -> None:
        """Send `stop`, and wait until the gateway has closed."""
        await self.text(self.stream.send_stop())
        await asyncio.wait_for(asyncio.shield(self.closed), 5)

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                message = json.loads(text)
                if message["event"] == "media":
                    self.heard.append(base64.b64decode(message["media"]["payload"]))
                else:
                    self.messages.append(message)
        except ConnectionClosed:
            pass
        self.closed.set_result((self.socket.close_code or 0, self.socket.close_reason or ""))


def samples_of(payloads: list[bytes]) -> Samples:
    """What PCMU payloads sound like."""
    return decode_ulaw(b"".join(payloads))


async def finished_recording(data_dir: Path, call_control_id: str) -> tuple[dict[str, Any], Samples]:
    """Wait for a call's recording to be complete.

    Returns:
        Its sidecar, and its samples of shape (n, 2): the caller left, the application right.
    """
    async with asyncio.timeout(5):
        while True:
            for path in data_dir.glob("recordings/*/recording.json"):
                sidecar: dict[str, Any] = json.loads(path.read_text("utf-8"))
                if sidecar["call_control_id"] == call_control_id and sidecar["complete"]:
                    with wave.open(str(path.with_name("recording.wav"))) as file:
                        octets = file.readframes(file.getnframes())
                    return sidecar, np.frombuffer(octets, "<i2").reshape(-1, 2)
            await asyncio.sleep(0.01)
