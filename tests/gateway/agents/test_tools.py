"""What a language model may do with a call, and what it is told of it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import Call
from gateway.agents.tools import Tool, Toolbox, call_tools
from gateway.errors import ControlError
from gateway.protocol.commands import Command
from tests.fakes import FakeLine

PLACES = {"billing": "+15550100009"}


class Line(FakeLine):
    """A call whose commands are kept; the carrier refuses them where it is told to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.commands: list[Command] = []

        async def command(call_control_id: str, command: Command) -> Mapping[str, Any]:
            if refuses:
                raise ControlError("transfer: the number is not in service", status=422)
            self.commands.append(command)
            return {}

        super().__init__(command=command)


async def use(line: Line, name: str, arguments: str) -> tuple[Any, bool]:
    toolbox = Toolbox(call_tools(["hangup", "transfer", "send_dtmf"], transfer_to=PLACES))
    result, ends = await toolbox.run(line.call, name, arguments)
    return json.loads(result), ends


async def test_a_model_hangs_up_and_transfers_to_where_it_may() -> None:
    line = Line()
    async with line.running():
        assert await use(line, "hangup", "") == ({"done": True}, True)
        assert await use(line, "transfer", '{"to": "billing"}') == ({"done": True}, True)
    assert [(type(one).__name__, getattr(one, "to", None)) for one in line.commands] == [
        ("Hangup", None),
        ("Transfer", "+15550100009"),
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("transfer", '{"to": "+15550100001"}', "to must be one of: billing"),
        ("transfer", '{"to": ["billing"]}', "to must be one of: billing"),
        ("transfer", "", "to must be one of: billing"),
        ("transfer", "{", "the arguments are no JSON"),
        ("transfer", "[]", "the arguments must be an object"),
        ("hangup", "x" * 70_000, "the arguments have 70000 characters, the limit is 65536"),
        ("send_dtmf", "{}", "digits must be a string"),
        ("send_dtmf", '{"digits": "hello"}', "keys are 0 to 9"),
        ("dial", "{}", "there is no tool 'dial'"),
    ],
)
async def test_what_a_model_may_not_do_it_is_told_and_nothing_happens(
    name: str, arguments: str, complaint: str
) -> None:
    line = Line()
    async with line.running():
        result, ends = await use(line, name, arguments)
    assert complaint in result["error"]
    assert not ends
    assert line.commands == []


async def test_what_the_carrier_refuses_the_model_is_told() -> None:
    line = Line(refuses=True)
    async with line.running():
        result, ends = await use(line, "transfer", '{"to": "billing"}')
    assert (result, ends) == ({"error": "transfer: the number is not in service"}, False)


@pytest.mark.parametrize(("failure", "told"), [(RuntimeError("secret"), "RuntimeError"), (None, "it took too long")])
async def test_a_tool_of_ones_own_that_fails_or_never_ends_is_told(failure: Exception | None, told: str) -> None:
    async def run(call: Call, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if failure is not None:
            raise failure
        await asyncio.sleep(60)
        return {}

    toolbox = Toolbox([Tool("mine", "Does it.", {"type": "object"}, run)], timeout=0.01)
    result, ends = await toolbox.run(FakeLine().call, "mine", "{}")
    assert (json.loads(result), ends) == ({"error": told}, False)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_any_arguments_give_json_and_nothing_is_raised(arguments: str) -> None:
    async def one() -> None:
        toolbox = Toolbox(call_tools(["transfer"], transfer_to=PLACES))
        result, ends = await toolbox.run(FakeLine().call, "transfer", arguments)
        assert "error" in json.loads(result)
        assert not ends

    asyncio.run(one())


def test_both_apis_are_offered_the_same() -> None:
    toolbox = Toolbox(call_tools(["transfer"], transfer_to=PLACES))
    (chat,), (realtime,) = toolbox.for_chat(), toolbox.for_realtime()
    assert chat == {"type": "function", "function": {key: realtime[key] for key in realtime if key != "type"}}
    assert realtime["type"] == "function"
    assert realtime["parameters"]["properties"]["to"]["enum"] == ["billing"]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [(["transfer"], "needs transfer_to"), (["dial"], "there is no tool 'dial'")],
)
def test_tools_that_there_are_not_are_refused_at_the_start(names: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call_tools(names, transfer_to={})
