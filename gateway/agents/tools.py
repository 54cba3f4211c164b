"""What a language model may do with a call: functions it is offered, each mapped to a command of the call.

A model is talked to by whoever calls, so it is asked for nothing that costs money unchecked: it transfers only to the
places that the operator has named, and knows them by name alone. Whatever goes wrong is told to the model, in words,
so that it can tell the caller; nothing here raises.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.call import Call

__all__ = ["Tool", "Toolbox", "call_tools"]

MAX_ARGUMENTS: Final = 65_536
"""Characters of the arguments that a model may give."""

_GOODBYE: Final = 20.0  # seconds that what was said last may take to be heard, before the call goes elsewhere


@dataclass(frozen=True, slots=True)
class Tool:
    """One function that the model may call.

    Attributes:
        name: As the model calls it.
        description: What the model is told of it.
        parameters: JSON schema of its arguments, an object.
        run: Does it; returns JSON-ready values for the model. What it raises is told to the model.
        ends: The call is over for the agent when it has worked.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: "Callable[[Call, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]"
    ends: bool = False


Result: TypeAlias = tuple[str, bool]
"""What the model is told, as JSON, and whether the call is over for the agent."""


class Toolbox:
    """The tools of one agent.

    Args:
        tools: Those that the model is offered.
        timeout: Seconds that one may take.
    """

    def __init__(self, tools: Sequence[Tool], *, timeout: float = 30.0) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._timeout = timeout

    def for_chat(self) -> list[dict[str, Any]]:
        """The tools as Chat Completions wants them."""
        return [{"type": "function", "function": _describe(tool)} for tool in self._tools.values()]

    def for_realtime(self) -> list[dict[str, Any]]:
        """The tools as OpenAI's Realtime API wants them."""
        return [{"type": "function", **_describe(tool)} for tool in self._tools.values()]

    async def run(self, call: "Call", name: str, arguments: str) -> Result:
        """Do what the model asks for.

        Args:
            call: The agent's.
            name: Of the tool.
            arguments: As the model gave them: a JSON object, or empty for none.
        """
        tool = self._tools.get(name)
        if tool is None:
            return _problem(f"there is no tool {name[:100]!r}"), False
        try:
            given = _read(arguments)
            async with asyncio.timeout(self._timeout):
                done = await tool.run(call, given)
        except TimeoutError:
            call.log.warning("a tool took too long", tool=tool.name, timeout=self._timeout)
            return _problem("it took too long"), False
        except (GatewayError, ValueError, TypeError, KeyError) as error:
            call.log.warning("a tool failed", tool=tool.name, error=type(error).__name__)
            return _problem(str(error)[:500]), False
        except Exception as error:
            call.log.exception("a tool failed", tool=tool.name)
            return _problem(type(error).__name__), False
        call.publish("agent.tool", {"tool": tool.name})
        return json.dumps(done, ensure_ascii=False, default=str), tool.ends


def call_tools(names: Sequence[str], *, transfer_to: Mapping[str, str]) -> list[Tool]:
    """The gateway's own tools.

    Args:
        names: Which of `hangup`, `transfer` and `send_dtmf`.
        transfer_to: Where calls may be transferred to: numbers or SIP addresses by the names that the model is told.

    Raises:
        ValueError: There is no such tool, or calls may be transferred nowhere.
    """
    made = {"hangup": _HANG_UP, "send_dtmf": _SEND_DTMF}
    if transfer_to:
        made["transfer"] = _transfer(dict(transfer_to))
    for name in names:
        if name == "transfer" and not transfer_to:
            raise ValueError("the tool transfer needs transfer_to: where calls may be transferred to")
        if name not in made:
            raise ValueError(f"there is no tool {name!r}; there are: hangup, transfer, send_dtmf")
    return [made[name] for name in dict.fromkeys(names)]


async def _hang_up(call: "Call", arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    del arguments
    await _say_goodbye(call)
    await call.hangup()
    return {"done": True}


async def _send_dtmf(call: "Call", arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    digits = arguments.get("digits")
    if not isinstance(digits, str):
        raise TypeError("digits must be a string")
    call.send_dtmf(digits)
    return {"done": True}


def _transfer(places: dict[str, str]) -> Tool:
    async def run(call: "Call", arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        to = arguments.get("to")
        if not isinstance(to, str) or to not in places:
            raise ValueError(f"to must be one of: {', '.join(places)}")
        await _say_goodbye(call)
        await call.transfer(places[to])
        return {"done": True}

    return Tool(
        "transfer",
        "Connect the caller with somebody else and leave the call. Tell the caller first.",
        _schema(to={"type": "string", "enum": list(places), "description": "whom to connect the caller with"}),
        run,
        ends=True,
    )


async def _say_goodbye(call: "Call") -> None:
    """Let what was said be heard, as far as that comes to an end."""
    try:
        async with asyncio.timeout(_GOODBYE):
            await call.wait_for_playout()
    except TimeoutError:
        call.log.warning("left before everything was heard", waited=_GOODBYE)


def _schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_HANG_UP: Final = Tool(
    "hangup",
    "End the call, after saying goodbye.",
    _schema(),
    _hang_up,
    ends=True,
)
_SEND_DTMF: Final = Tool(
    "send_dtmf",
    "Press keys, such as in another party's menu.",
    _schema(digits={"type": "string", "description": "0 to 9, *, #, A to D; w waits half a second"}),
    _send_dtmf,
)


def _describe(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _read(arguments: str) -> Mapping[str, Any]:
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError(f"the arguments have {len(arguments)} characters, the limit is {MAX_ARGUMENTS}")
    if not arguments.strip():
        return {}
    try:
        given = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error
    if not isinstance(given, dict):
        raise TypeError("the arguments must be an object")
    return given


def _problem(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)
