"""Fakes of the streaming services: each speaks its protocol as documented, and is strict about what it is sent."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.http11 import Request, Response

from audio_codecs import Samples, decode_alaw, decode_ulaw
from tests.gateway.transcribe.recogniser import Recogniser, Utterance

__all__ = [
    "FAKES",
    "AssemblyAIFake",
    "DeepgramFake",
    "Fake",
    "OpenAIFake",
    "SherpaFake",
    "SherpaPythonFake",
    "VoskFake",
]

DECODERS: dict[str, Callable[[bytes], Samples]] = {
    "ulaw": decode_ulaw,
    "alaw": decode_alaw,
    "int16": lambda payload: np.frombuffer(payload, "<i2").astype(np.int16),
    "float32": lambda payload: np.rint(np.frombuffer(payload, "<f4") * 32768).astype(np.int16),
}


class Dropped(Exception):  # noqa: N818 - it is told, not raised at anybody
    """The connection is to be cut here."""


class Recorded:
    """A connection whose texts are noted."""

    def __init__(self, socket: ServerConnection, fake: "Fake") -> None:
        self._socket = socket
        self._fake = fake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    async def send(self, message: str) -> None:
        if self._fake.mute and len(self._fake.told) >= self._fake.greetings:
            return
        self._fake.told.append(message)
        await self._socket.send(message)

    async def recv(self) -> str | bytes:
        message = await self._socket.recv()
        if isinstance(message, str):
            self._fake.heard.append(message)
        return message

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        with suppress(ConnectionClosedOK):
            while True:
                yield await self.recv()


class Fake:
    """A service on a port of its own.

    Attributes:
        drops: After how many seconds of sound each connection is cut; those behind the list are not.
        refuse: The status of its answer to the handshake, if it is to refuse.
        deaf: It opens connections and reads nothing.
        mute: It listens, and says nothing behind its greetings.
        requests: The handshakes.
        payloads: The sound as it came, of all connections.
        told, heard: Every text that it has sent, and that came.
        alive: How many signs of life came.
    """

    scheme = ""
    variable: str | None = None
    key = "the-key"
    query = ""
    greetings = 0  # messages of its own, before it takes sound

    def __init__(self) -> None:
        self.drops: list[float] = []
        self.refuse: int | None = None
        self.deaf = False
        self.mute = False
        self.requests: list[Request] = []
        self.payloads: list[bytes] = []
        self.told: list[str] = []
        self.heard: list[str] = []
        self.alive = 0
        self.port = 0
        self._over = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Fake"]:
        async with serve(self._handle, "127.0.0.1", 0, process_request=self._answer, close_timeout=0.1) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            try:
                yield self
            finally:
                self._over.set()

    @property
    def url(self) -> str:
        """What stands in the settings."""
        return f"{self.scheme}:?url=ws://127.0.0.1:{self.port}{self.query}"

    async def _answer(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return None if self.refuse is None else socket.respond(HTTPStatus(self.refuse), "no\n")

    async def _handle(self, socket: ServerConnection) -> None:
        if self.deaf:
            socket.transport.pause_reading()
            await self._over.wait()
            socket.transport.abort()
        recorded: Any = Recorded(socket, self)
        try:
            await self.serve(recorded)
            if self.mute:
                await self._over.wait()
        except Dropped:
            socket.transport.abort()
        except ConnectionClosed:
            pass

    async def serve(self, socket: ServerConnection) -> None:
        """Speak the protocol."""
        raise NotImplementedError

    def hear(self, ears: Recogniser, samples: Samples, payload: bytes) -> list[Utterance]:
        """Listen, unless the connection is to be cut here."""
        self.payloads.append(payload)
        number = len(self.requests) - 1
        utterances = ears.push(samples)
        if number < len(self.drops) and ears.heard >= self.drops[number]:
            raise Dropped
        return utterances

    def query_of(self, socket: ServerConnection) -> dict[str, str]:
        assert socket.request is not None
        return {name: values[0] for name, values in parse_qs(urlsplit(socket.request.path).query).items()}


class DeepgramFake(Fake):
    scheme, variable = "deepgram", "DEEPGRAM_API_KEY"

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.headers["Authorization"] == f"Token {self.key}"
        query = self.query_of(socket)
        decode = DECODERS[{"mulaw": "ulaw", "alaw": "alaw", "linear16": "int16"}[query["encoding"]]]
        ears = Recogniser(int(query["sample_rate"]))
        final = 0.0  # all up to here was told
        async for message in socket:
            if isinstance(message, str):
                match json.loads(message)["type"]:
                    case "KeepAlive":
                        self.alive += 1
                        continue
                    case "CloseStream":
                        await self._tell(socket, ears.finish(), final, is_final=True)
                        await socket.send(json.dumps({"type": "Metadata", "request_id": "r", "channels": 1}))
                        return
            assert isinstance(message, bytes)
            assert message, "an empty message ends the stream"
            for utterance in self.hear(ears, decode(message), message):
                await self._tell(socket, utterance, final, is_final=True)
                final = utterance.over
            if ears.words:
                await self._tell(socket, Utterance(ears.words, ears.heard), final, is_final=False)
            elif not ears.talking and ears.heard - final > 0.5:
                await self._tell(socket, Utterance([], ears.heard), final, is_final=True)
                final = ears.heard

    async def _tell(self, socket: ServerConnection, said: Utterance, start: float, *, is_final: bool) -> None:
        words = [
            {"word": word.text, "start": word.start, "end": word.end, "confidence": 0.9, "punctuated_word": word.text}
            for word in said.words
        ]
        alternative = {"transcript": said.text, "confidence": 0.9 if words else 0.0, "words": words}
        message = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": start,
            "duration": said.over - start,
            "is_final": is_final,
            "speech_final": is_final and bool(words),
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": "r", "model_uuid": "m"},
        }
        await socket.send(json.dumps(message))


class AssemblyAIFake(Fake):
    scheme, variable = "assemblyai", "ASSEMBLYAI_API_KEY"
    greetings = 1

    def __init__(self) -> None:
        super().__init__()
        self.close_with: int | None = None

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.headers["Authorization"] == self.key
        query = self.query_of(socket)
        if self.close_with is not None:
            error = {"type": "Error", "error_code": self.close_with, "error": "Unauthorized Connection: the-key"}
            await socket.send(json.dumps(error))
            await socket.close(self.close_with, "See Error message for details")
            return
        assert "speech_model" in query
        decode = DECODERS[{"pcm_mulaw": "ulaw", "pcm_s16le": "int16"}[query["encoding"]]]
        width = 1 if query["encoding"] == "pcm_mulaw" else 2
        rate = int(query["sample_rate"])
        ears, turn, told = Recogniser(rate), 0, 0
        await socket.send(json.dumps({"type": "Begin", "id": "s", "expires_at": 1_800_000_000}))
        async for message in socket:
            if isinstance(message, str):
                assert json.loads(message) == {"type": "Terminate"}
                if (said := ears.finish()).words:
                    await self._tell(socket, said, turn)
                end = {"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 1}
                await socket.send(json.dumps(end))
                return
            if not 0.05 <= len(message) / width / rate <= 1:
                await socket.close(3007, "Input duration violation")
                return
            for said in self.hear(ears, decode(message), message):
                await self._tell(socket, said, turn)
                turn, told = turn + 1, 0
            if len(ears.words) > told:
                told = len(ears.words)
                await self._tell(socket, Utterance(ears.words, ears.heard), turn, end_of_turn=False)

    async def _tell(self, socket: ServerConnection, said: Utterance, turn: int, *, end_of_turn: bool = True) -> None:
        for formatted in (False, True) if end_of_turn else (False,):
            words = [
                {
                    "text": word.text,
                    "start": round(word.start * 1000),
                    "end": round(word.end * 1000),
                    "confidence": 0.8,
                    "word_is_final": end_of_turn,
                }
                for word in said.words
            ]
            message = {
                "type": "Turn",
                "turn_order": turn,
                "turn_is_formatted": formatted,
                "end_of_turn": end_of_turn,
                "transcript": said.text if end_of_turn else "",
                "end_of_turn_confidence": 0.9,
                "words": words,
            }
            await socket.send(json.dumps(message))


class OpenAIFake(Fake):
    scheme, variable = "openai", "OPENAI_API_KEY"
    greetings = 2
    query = "/v1/realtime%3Fintent%3Dtranscription"

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.headers["Authorization"] == f"Bearer {self.key}"
        assert self.query_of(socket) == {"intent": "transcription"}
        await self._send(socket, "session.created", session={"type": "transcription"})
        update = json.loads(await socket.recv())
        assert (update["type"], update["session"]["type"]) == ("session.update", "transcription")
        settings = update["session"]["audio"]["input"]
        if settings["transcription"]["model"] == "nonsense":
            error = {"type": "invalid_request_error", "code": "invalid_value", "param": "model", "message": "the-key"}
            await self._send(socket, "error", error=error)
            await socket.wait_closed()
            return
        assert settings["turn_detection"]["type"] == "server_vad"
        sound = settings["format"]
        decode = DECODERS[{"audio/pcmu": "ulaw", "audio/pcma": "alaw", "audio/pcm": "int16"}[sound["type"]]]
        ears = Recogniser(sound["rate"] if sound["type"] == "audio/pcm" else 8000)
        await self._send(socket, "session.updated", session=update["session"])
        item, announced, told = 1, False, 0
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.commit":
                if announced:
                    await self._complete(socket, ears.finish(), item)
                else:  # a buffer of silence, and what the model makes of it
                    await self._complete(socket, None, item)
                item, announced, told = item + 1, False, 0
                continue
            assert event["type"] == "input_audio_buffer.append"
            payload = base64.b64decode(event["audio"])
            utterances = self.hear(ears, decode(payload), payload)
            for said in utterances:
                await self._announce(socket, said, item, announced=announced)
                stopped = round(said.over * 1000)
                await self._send(
                    socket, "input_audio_buffer.speech_stopped", item_id=f"item_{item}", audio_end_ms=stopped
                )
                await self._complete(socket, said, item)
                item, announced, told = item + 1, False, 0
            if len(ears.words) > told:
                await self._announce(socket, Utterance(ears.words, ears.heard), item, announced=announced)
                announced = True
                delta = (" " if told else "") + " ".join(word.text for word in ears.words[told:])
                told = len(ears.words)
                kind = "conversation.item.input_audio_transcription.delta"
                await self._send(socket, kind, item_id=f"item_{item}", content_index=0, delta=delta)

    async def _announce(self, socket: ServerConnection, said: Utterance, item: int, *, announced: bool) -> None:
        if not announced:
            start = round(said.words[0].start * 1000)
            await self._send(socket, "input_audio_buffer.speech_started", item_id=f"item_{item}", audio_start_ms=start)

    async def _complete(self, socket: ServerConnection, said: Utterance | None, item: int) -> None:
        name = f"item_{item}"
        await self._send(socket, "input_audio_buffer.committed", item_id=name, previous_item_id=None)
        text = "Thank you." if said is None else said.text
        usage = {"type": "duration", "seconds": 1.0}
        kind = "conversation.item.input_audio_transcription.completed"
        await self._send(socket, kind, item_id=name, content_index=0, transcript=text, usage=usage)

    async def _send(self, socket: ServerConnection, kind: str, **fields: Any) -> None:
        await socket.send(json.dumps({"type": kind, "event_id": "event_1", **fields}))


class VoskFake(Fake):
    scheme = "vosk"

    async def serve(self, socket: ServerConnection) -> None:
        config = json.loads(await socket.recv())["config"]
        assert config["words"] is True
        ears = Recogniser(config["sample_rate"])
        async for message in socket:
            if isinstance(message, str):
                assert message == '{"eof" : 1}', "the server compares the text"
                await socket.send(self._result(ears.finish()))
                return
            utterances = self.hear(ears, DECODERS["int16"](message), message)
            if utterances:
                (said,) = utterances
                await socket.send(self._result(said))
            else:
                await socket.send(json.dumps({"partial": " ".join(word.text for word in ears.words)}))

    def _result(self, said: Utterance) -> str:
        words = [{"conf": 1.0, "start": word.start, "end": word.end, "word": word.text} for word in said.words]
        return json.dumps({"result": words, "text": said.text} if words else {"text": ""})


class SherpaFake(Fake):
    """The server in C++."""

    scheme = "sherpa"

    async def serve(self, socket: ServerConnection) -> None:
        ears, segment, began = Recogniser(16_000), 0, 0.0
        async for message in socket:
            if isinstance(message, str):
                assert message == "Done"
                await self._tell(socket, ears.finish(), segment, began, is_final=True)
                await socket.send("Done!")
                continue
            utterances = self.hear(ears, DECODERS["float32"](message), message)
            for said in utterances:
                await self._tell(socket, said, segment, began, is_final=True)
                segment, began = segment + 1, said.over
            if not utterances:
                await self._tell(socket, Utterance(ears.words, ears.heard), segment, began, is_final=False)

    async def _tell(
        self, socket: ServerConnection, said: Utterance, segment: int, began: float, *, is_final: bool
    ) -> None:
        message = {
            "text": said.text,
            "tokens": [word.text for word in said.words],
            "timestamps": [round(word.start - began, 2) for word in said.words],
            "ys_probs": [],
            "segment": segment,
            "words": [],
            "start_time": round(began, 2),
            "is_final": is_final,
            "is_eof": False,
        }
        await socket.send(json.dumps(message))


class SherpaPythonFake(Fake):
    """The server in Python, which tells less."""

    scheme = "sherpa"

    async def serve(self, socket: ServerConnection) -> None:
        ears, segment = Recogniser(16_000), 0
        async for message in socket:
            if isinstance(message, str):
                assert message == "Done"
                await socket.send(json.dumps({"text": ears.finish().text, "segment": segment}))
                return
            utterances = self.hear(ears, DECODERS["float32"](message), message)
            for said in utterances:
                await socket.send(json.dumps({"text": said.text, "segment": segment}))
                segment += 1
            if not utterances:
                text = " ".join(word.text for word in ears.words)
                await socket.send(json.dumps({"text": text, "segment": segment}))


FAKES: tuple[type[Fake], ...] = (
    DeepgramFake,
    OpenAIFake,
    AssemblyAIFake,
    VoskFake,
    SherpaFake,
    SherpaPythonFake,
)
