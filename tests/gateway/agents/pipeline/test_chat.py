"""The client of chat endpoints, against one that speaks the protocol, well or badly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.agents.pipeline.chat import CHAT_TIMEOUT, ChatClient, ToolCall
from gateway.errors import ChatError
from tests.gateway.agents.pipeline.chat_server import Answer, ChatServer, chat_server, chunk, text, tool

HELLO = [{"role": "user", "content": "Hello"}]


@asynccontextmanager
async def client(server: ChatServer, **options: Any) -> AsyncIterator[ChatClient]:
    async with aiohttp.ClientSession(timeout=CHAT_TIMEOUT) as session:
        defaults = {"base_url": server.url, "key": "sk-test", "model": "small"}
        yield ChatClient(session, **defaults | options)


async def ask(*answers: Answer, **options: Any) -> tuple[list[str | ToolCall], ChatServer]:
    async with chat_server(*answers) as server, client(server, **options) as chat:
        return [piece async for piece in chat.answer(HELLO)], server


async def test_an_answer_comes_in_pieces() -> None:
    pieces, server = await ask(Answer(text("Good ", "morn", "ing.")), fields={"temperature": 0.2})
    assert pieces == ["Good ", "morn", "ing."]
    assert server.requests == [{"temperature": 0.2, "model": "small", "stream": True, "messages": HELLO}]
    assert server.keys == ["Bearer sk-test"]


async def test_a_server_without_keys_is_sent_none() -> None:
    _, server = await ask(Answer(text("Yes.")), key=None)
    assert server.keys == [None]


async def test_a_tool_call_is_put_together_from_its_parts() -> None:
    async with chat_server(Answer(tool("transfer", '{"to": ', '"billing"}'))) as server, client(server) as chat:
        tools = [{"type": "function", "function": {"name": "transfer"}}]
        pieces = [piece async for piece in chat.answer(HELLO, tools)]
    assert pieces == [ToolCall("call_1", "transfer", '{"to": "billing"}')]
    assert server.requests[0]["tools"] == tools


async def test_comments_blank_lines_and_other_fields_are_passed_over() -> None:
    events = [": keep-alive", "event: message\nid: 3", 'data:{"choices":[]}', 'data: {"usage": null}', *text("Yes.")]
    assert (await ask(Answer(events)))[0] == ["Yes."]


async def test_an_end_without_done_is_one_where_the_reason_was_told() -> None:
    assert (await ask(Answer([chunk({"content": "Yes."}), chunk({}, "stop")])))[0] == ["Yes."]


@pytest.mark.parametrize("drop", [True, False])
async def test_a_connection_that_breaks_in_the_middle_is_an_error_behind_what_came(*, drop: bool) -> None:
    async with chat_server(Answer([chunk({"content": "Good "})], drop=drop)) as server, client(server) as chat:
        answer = chat.answer(HELLO)
        assert await anext(answer) == "Good "
        with pytest.raises(ChatError, match="broke off"):
            await anext(answer)
    assert len(server.requests) == 1


async def test_an_answer_that_stands_still_is_an_error() -> None:
    with pytest.raises(ChatError, match=r"stood still for 0\.05 s"):
        await ask(Answer([chunk({"content": "Good "})], stall=5), next_timeout=0.05)


async def test_an_endpoint_that_does_not_begin_is_an_error() -> None:
    with pytest.raises(ChatError, match=r"stood still|did not answer within"):
        await ask(Answer(stall=5), first_timeout=0.05, next_timeout=0.05)


async def test_a_refused_key_is_told_at_once_and_clearly() -> None:
    refusal = Answer(status=401, body='{"error": {"message": "Incorrect API key"}}')
    async with chat_server(refusal) as server, client(server) as chat:
        with pytest.raises(ChatError, match=r"refuses the key \(401\): is OPENAI_API_KEY right\?") as error:
            await anext(chat.answer(HELLO))
    assert (error.value.status, error.value.retryable) == (401, False)
    assert "sk-test" not in str(error.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_may_heal_is_tried_once_more(status: int) -> None:
    pieces, server = await ask(Answer(status=status), Answer(text("Yes.")))
    assert pieces == ["Yes."]
    assert len(server.requests) == 2


async def test_it_is_tried_once_and_no_more() -> None:
    async with chat_server(Answer(status=503, body="too busy")) as server, client(server) as chat:
        with pytest.raises(ChatError, match="answers 503: too busy"):
            await anext(chat.answer(HELLO))
    assert len(server.requests) == 2


async def test_a_request_that_is_wrong_is_not_tried_again() -> None:
    async with chat_server(Answer(status=400, body="no such model")) as server, client(server) as chat:
        with pytest.raises(ChatError, match="answers 400: no such model"):
            await anext(chat.answer(HELLO))
    assert len(server.requests) == 1


async def test_nobody_there_is_an_error() -> None:
    async with chat_server(Answer()) as server:
        pass
    async with client(server) as chat:
        with pytest.raises(ChatError, match="cannot be reached"):
            await anext(chat.answer(HELLO))


async def test_a_redirect_is_not_followed_as_the_key_would_go_with_it() -> None:
    with pytest.raises(ChatError, match="answers 307"):
        await ask(Answer(status=307))


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        (["data: {"], "no chunk of an answer"),
        (["data: []"], "no chunk of an answer"),
        (['data: {"choices": [{"delta": {"content": 5}}]}'], "no chunk of an answer"),
        (["data: " + "[" * 100_000], "broke off|no chunk"),
        (['data: {"error": {"message": "overloaded"}}'], "failed while it answered: .*overloaded"),
        (["data: " + "x" * 1_000_000], "broke off"),
        (["<html>"], "broke off in the middle"),
        ([chunk({"content": "x" * 5000})] * 5, "longer than 20000 characters"),
        ([chunk({"tool_calls": [{"index": number}]}) for number in range(9)], "more than 8 tools"),
        (
            [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 40_000}}]})] * 2,
            "far too many arguments",
        ),
    ],
)
async def test_whatever_else_comes_is_an_error_and_has_a_bound(events: list[str], complaint: str) -> None:
    with pytest.raises(ChatError, match=complaint):
        await ask(Answer(events))


async def test_closing_an_answer_ends_the_request() -> None:
    async with chat_server(Answer(text(*["word "] * 100), pause=0.01)) as server, client(server) as chat:
        answer = chat.answer(HELLO)
        await anext(answer)
        await answer.aclose()
        async with aiohttp.ClientSession() as session, session.get(server.url):
            pass
    assert server.given_up == 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.text(max_size=30), st.binary(max_size=30).map(repr)), max_size=5))
def test_any_text_gives_pieces_or_a_chat_error(lines: list[str]) -> None:
    async def one() -> None:
        with suppress(ChatError):
            await ask(Answer([f"data: {line}" for line in lines]))

    asyncio.run(one())
