"""A service that speaks the Realtime API, for the tests: it takes nothing that OpenAI does not document.

The shapes are those of the client events in OpenAI's reference, without a field more; `make test-peers` holds the same
messages against the types of OpenAI's own package.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from gateway.agents.base import AgentFactory
from gateway.agents.options import AgentConfig
from gateway.agents.realtime import RealtimeAgent

PATIENCE = 5.0


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Pcm(Shape):
    type: Literal["audio/pcm"]
    rate: Literal[24000]


class G711(Shape):
    type: Literal["audio/pcmu", "audio/pcma"]


Format = Annotated[Pcm | G711, Field(discriminator="type")]


class ServerVad(Shape):
    type: Literal["server_vad"]
    create_response: bool
    interrupt_response: bool
    threshold: float | None = None
    prefix_padding_ms: int | None = None
    silence_duration_ms: int | None = None


class SemanticVad(Shape):
    type: Literal["semantic_vad"]
    create_response: bool
    interrupt_response: bool
    eagerness: Literal["low", "medium", "high", "auto"] | None = None


class Transcription(Shape):
    model: str
    language: str | None = None


class NoiseReduction(Shape):
    type: Literal["near_field", "far_field"]


class Input(Shape):
    format: Format
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")]
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None


class Output(Shape):
    format: Format
    voice: str | None = None
    speed: float | None = None


class Audio(Shape):
    input: Input
    output: Output


class Function(Shape):
    type: Literal["function"]
    name: str
    description: str
    parameters: dict[str, Any]


class SessionShape(Shape):
    type: Literal["realtime"]
    output_modalities: list[Literal["audio", "text"]]
    audio: Audio
    tools: list[Function]
    instructions: str | None = None
    max_output_tokens: int | None = None


class SessionUpdate(Shape):
    type: Literal["session.update"]
    session: SessionShape


class Append(Shape):
    type: Literal["input_audio_buffer.append"]
    audio: str


class InputText(Shape):
    type: Literal["input_text"]
    text: str


class OutputText(Shape):
    type: Literal["output_text"]
    text: str


class UserMessage(Shape):
    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[InputText]


class AssistantMessage(Shape):
    type: Literal["message"]
    role: Literal["assistant"]
    content: list[OutputText]


class FunctionOutput(Shape):
    type: Literal["function_call_output"]
    call_id: str
    output: str


class ItemCreate(Shape):
    type: Literal["conversation.item.create"]
    item: UserMessage | AssistantMessage | FunctionOutput


class Truncate(Shape):
    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Literal[0]
    audio_end_ms: Annotated[int, Field(ge=0)]


class ResponseOptions(Shape):
    instructions: str


class ResponseCreate(Shape):
    type: Literal["response.create"]
    response: ResponseOptions | None = None


CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[SessionUpdate | Append | ItemCreate | Truncate | ResponseCreate, Field(discriminator="type")]
)


class ModelConnection:
    """One connection; what the gateway sends is checked, sound is kept apart."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.sound = b""
        self.appends = 0
        self.wrong: list[str] = []
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen(self) -> None:
        async for message in self.socket:
            try:
                CLIENT_EVENT.validate_json(message)
            except ValueError as error:
                self.wrong.append(str(error))
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.append":
                self.sound += base64.b64decode(event["audio"])
                self.appends += 1
            else:
                self._events.put_nowait(event)

    async def told(self, wanted: str) -> dict[str, Any]:
        """The next event other than sound, which is to be of this type."""
        async with asyncio.timeout(PATIENCE):
            event = await self._events.get()
        assert self.wrong == []
        assert event["type"] == wanted
        return event

    async def hear(self, octets: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            while len(self.sound) < octets:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        heard, self.sound = self.sound[:octets], self.sound[octets:]
        return heard

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": event_type, "event_id": "event_1"} | fields))

    async def begin(self) -> dict[str, Any]:
        """Take the session as it is asked for; returns it."""
        await self.send("session.created", session={"type": "realtime", "id": "sess_1"})
        session: dict[str, Any] = (await self.told("session.update"))["session"]
        await self.send("session.updated", session=session)
        return session

    async def respond(self, response_id: str, item_id: str, *deltas: bytes, text: str = "", done: bool = True) -> None:
        """Say something as the model."""
        await self.send("response.created", response={"id": response_id, "status": "in_progress", "output": []})
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        for delta in deltas:
            await self.send("response.output_audio.delta", **where, delta=base64.b64encode(delta).decode())
        if done:
            await self.send("response.output_audio.done", **where)
            await self.send("response.output_audio_transcript.done", **where, transcript=text)
            await self.send("response.done", response={"id": response_id, "status": "completed", "output": []})

    async def caller_speaks(self) -> None:
        await self.send("input_audio_buffer.speech_started", audio_start_ms=100, item_id="item_user")


class ModelService:
    """All connections, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.refuse: HTTPStatus | None = None
        self._connections: asyncio.Queue[ModelConnection] = asyncio.Queue()

    async def connection(self) -> ModelConnection:
        async with asyncio.timeout(PATIENCE):
            return await self._connections.get()

    async def serve(self, socket: ServerConnection) -> None:
        connection = ModelConnection(socket)
        self._connections.put_nowait(connection)
        with suppress(ConnectionClosed):
            await connection.listen()

    def look(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return None if self.refuse is None else socket.respond(self.refuse, "no\n")

    def agent(self, **options: Any) -> AgentFactory:
        config = AgentConfig(
            options={"url": self.url, "reconnect_seconds": 1} | options,
            environment={"OPENAI_API_KEY": "sk-secret"},
            log=structlog.get_logger(),
        )
        return RealtimeAgent.configure(config)


@asynccontextmanager
async def model_service() -> AsyncIterator[ModelService]:
    """Serve while the context lasts."""
    made = ModelService()
    async with serve(made.serve, "127.0.0.1", 0, process_request=made.look, close_timeout=0.2) as server:
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/realtime"
        yield made
