"""A client of the Chat Completions API: OpenAI's, or any program's that speaks it. Its answers come as they are made.

Source: OpenAI's API reference, "Create chat completion", `stream: true`: server-sent events, each a `data:` line with a
chunk as JSON, the last one `data: [DONE]`. A tool call comes in parts that its `index` holds together.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from gateway.agents.tools import MAX_ARGUMENTS
from gateway.errors import ChatError

__all__ = ["CHAT_TIMEOUT", "OPENAI_URL", "ChatClient", "Message", "ToolCall"]

OPENAI_URL: Final = "https://api.openai.com/v1"
CHAT_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
"""Of the session; each read has a limit of its own."""

Message: TypeAlias = dict[str, Any]
"""As the API has it: `role`, `content`, and so on."""

_MAX_ANSWER: Final = 20_000  # characters
_MAX_LINE: Final = 262_144  # octets
_MAX_TOOL_CALLS: Final = 8
_MAX_PROBLEM: Final = 2000
_RETRY_AFTER: Final = 0.3


class ToolCall(msgspec.Struct, frozen=True):
    """The model wants something done.

    Attributes:
        id: What the result is to be told under.
        name: Of the tool.
        arguments: A JSON object, as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Part(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Part] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Chunk).decode


class ChatClient:
    """Asks one model; used by all calls at once.

    Args:
        session: With `CHAT_TIMEOUT`.
        base_url: Of the API, up to `/v1`.
        key: None for a server that wants none.
        model: Its name there.
        fields: Any others of the request, such as `temperature`.
        first_timeout: Seconds until an answer begins.
        next_timeout: Seconds that it may stand still.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        key: str | None,
        model: str,
        fields: Mapping[str, Any] | None = None,
        first_timeout: float = 15.0,
        next_timeout: float = 10.0,
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Accept": "text/event-stream"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        self._body = dict(fields or {}) | {"model": model, "stream": True}
        self._first_timeout = first_timeout
        self._next_timeout = next_timeout

    async def answer(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> AsyncGenerator[str | ToolCall]:
        """Ask for the next message. Closing the generator early ends the request.

        A request that failed before anything of the answer came is tried once more, if that may help.

        Args:
            messages: The conversation so far.
            tools: What the model may call, as the API wants them.

        Yields:
            The text in pieces, then the calls of tools.

        Raises:
            ChatError: The endpoint refuses, fails, stalls, stops in the middle, or says far too much.
        """
        body = self._body | {"messages": list(messages)} | ({"tools": list(tools)} if tools else {})
        response = await self._ask(body)
        try:
            characters, finished, calls = 0, False, _Calls()
            while (chunk := await self._next(response)) is not None:
                for choice in (chunk.choices or ())[:1]:
                    finished = finished or choice.finish_reason is not None
                    delta = choice.delta or _Delta()
                    calls.add(delta.tool_calls or ())
                    if delta.content:
                        characters += len(delta.content)
                        if characters > _MAX_ANSWER:
                            raise ChatError(f"the answer is longer than {_MAX_ANSWER} characters")
                        yield delta.content
                if chunk is _DONE:
                    finished = True
                    break
            if not finished:
                raise ChatError("the answer broke off in the middle", retryable=True)
            for call in calls.whole():
                yield call
        finally:
            response.close()

    async def _ask(self, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        try:
            return await self._ask_once(body)
        except ChatError as error:
            if not error.retryable:
                raise
        await asyncio.sleep(_RETRY_AFTER)
        return await self._ask_once(body)

    async def _ask_once(self, body: Mapping[str, Any]) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._first_timeout):
                # A redirect is not followed: the key would go with it.
                response = await self._session.post(self._url, json=body, headers=self._headers, allow_redirects=False)
                if response.status == 200:
                    return response
                try:
                    problem = (await response.content.read(_MAX_PROBLEM)).decode("utf-8", "replace")
                finally:
                    response.close()
        except TimeoutError as error:
            raise ChatError(f"the endpoint did not answer within {self._first_timeout:g} s") from error
        except aiohttp.ClientError as error:
            raise ChatError(
                f"the endpoint cannot be reached: {type(error).__name__}: {error}", retryable=True
            ) from error
        status = response.status
        text = " ".join(problem.split())[:300]
        if status in (401, 403):
            raise ChatError(f"the endpoint refuses the key ({status}): is OPENAI_API_KEY right? {text}", status=status)
        raise ChatError(
            f"the endpoint answers {status}: {text}",
            status=status,
            retryable=status in (408, 409, 429) or status >= 500,
        )

    async def _next(self, response: aiohttp.ClientResponse) -> _Chunk | None:
        """The next chunk; `_DONE` at the end, None if the connection ends before."""
        while True:
            try:
                async with asyncio.timeout(self._next_timeout):
                    line = await response.content.readline(max_line_length=_MAX_LINE)
            except TimeoutError as error:
                raise ChatError(f"the answer stood still for {self._next_timeout:g} s") from error
            except (aiohttp.ClientError, HttpProcessingError) as error:  # the latter: a line without an end
                raise ChatError(f"the answer broke off: {type(error).__name__}: {error}", retryable=True) from error
            if not line:
                return None
            if not line.startswith(b"data:"):  # comments that keep the connection alive, blank lines, other fields
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return _DONE
            try:
                chunk = _decode(data)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise ChatError(f"the endpoint sends what is no chunk of an answer: {error}") from error
            if chunk.error is not None:
                raise ChatError(f"the endpoint failed while it answered: {str(chunk.error)[:300]}", retryable=True)
            return chunk


_DONE: Final = _Chunk()


class _Calls:
    """Puts the parts of tool calls together."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}

    def add(self, parts: Sequence[_Part]) -> None:
        for part in parts:
            call = self._calls.setdefault(part.index, ["", "", ""])
            if len(self._calls) > _MAX_TOOL_CALLS:
                raise ChatError(f"the model calls more than {_MAX_TOOL_CALLS} tools at once")
            function = part.function or _Function()
            call[0] = part.id or call[0]
            call[1] = call[1] or function.name or ""
            call[2] += function.arguments or ""
            if len(call[1]) > 200 or len(call[2]) > MAX_ARGUMENTS:
                raise ChatError("the model calls a tool with far too many arguments")

    def whole(self) -> list[ToolCall]:
        return [
            ToolCall(call_id or f"call_{index}", name, arguments)
            for index, (call_id, name, arguments) in sorted(self._calls.items())
        ]
