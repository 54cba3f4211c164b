import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway.control.decider import Announcement, Decider
from gateway.control.routes import load_routes
from gateway.decision import Decision
from gateway.errors import ConfigError
from gateway.protocol.events import CallInitiated
from gateway.protocol.messages import MediaFormat, Start, StartBody
from tests.gateway.control.conftest import Log, an_event

ROUTES = load_routes([{"name": "rule", "to": "*"}])
BY_RULE = Decision(rule="rule")


def event() -> CallInitiated:
    announced = an_event("call.initiated", to="+15550100002", direction="incoming")
    assert isinstance(announced, CallInitiated)
    return announced


async def decide(log: Log, policy: Any = None, **options: Any) -> Decision:
    decision = Decider(ROUTES, policy=policy, log=log.logger, **options).decide(event(), "incoming")
    return decision if isinstance(decision, Decision) else await decision


async def test_rules_decide_at_once(log: Log) -> None:
    assert Decider(ROUTES, log=log.logger).decide(event(), "incoming") == BY_RULE
    assert Decider(log=log.logger).decide(event(), "incoming") == Decision()
    assert Decider(log=log.logger).always_the_same
    assert not Decider(ROUTES, log=log.logger).always_the_same


async def test_the_programs_policy_is_asked_before_the_rules(log: Log) -> None:
    async def waits(event: Announcement) -> Decision:
        await asyncio.sleep(0)
        return Decision(agent=event.payload.to)

    def plain(event: Announcement) -> Decision:
        return Decision(action="reject", rule=event.payload.to)

    class Undecided:
        async def __call__(self, event: Announcement) -> Decision | None:
            return None

    assert await decide(log, waits) == Decision(agent="+15550100002", rule="policy")
    assert await decide(log, plain) == Decision(action="reject", rule="+15550100002")
    assert await decide(log, lambda event: waits(event)) == Decision(agent="+15550100002", rule="policy")
    assert await decide(log, Undecided()) == BY_RULE
    assert log.lines == []


async def _raises(event: Announcement) -> Decision:
    raise KeyError(event.payload.to)


def _raises_plainly(event: Announcement) -> Decision:
    raise StopIteration(event.payload.to)


def _exits(event: Announcement) -> Decision:
    raise SystemExit(event.payload.to)


async def _hangs(event: Announcement) -> Decision:
    await asyncio.sleep(60)
    raise AssertionError


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (_raises, "KeyError in test_decider.py"),
        (_raises_plainly, "RuntimeError in decider.py"),
        (_exits, "SystemExit in test_decider.py"),
        (_hangs, "it took more than 0.05 s"),
        (lambda event: "answer", "TypeError in decider.py"),
        (lambda event: Decision(action="explode"), "ValueError in decision.py"),  # type: ignore[arg-type]
        (lambda event: Decision(agent="nobody"), "there is no agent"),
    ],
)
async def test_a_policy_that_fails_is_logged_without_its_words_and_the_rules_decide(
    log: Log, policy: Callable[[Any], Any], error: str
) -> None:
    def check(decision: Decision) -> None:
        raise ConfigError("there is no agent")

    assert await decide(log, policy, timeout=0.05, check=check) == BY_RULE
    (line,) = log.lines
    assert (line["event"], line["log_level"], line["call_control_id"]) == ("policy failed", "error", "v3:a")
    assert line["error"].startswith(error)
    assert "+1555" not in str(log.lines)


async def test_plain_functions_that_never_return_cost_no_more_than_their_threads(log: Log) -> None:
    release = threading.Event()
    called: list[str] = []

    def hangs(event: Announcement) -> Decision:
        called.append("")
        release.wait(10)
        return Decision()

    decider = Decider(ROUTES, policy=hangs, timeout=0.02, log=log.logger)
    try:
        for _ in range(20):
            decision = decider.decide(event(), "incoming")
            assert not isinstance(decision, Decision)
            assert await decision == BY_RULE
        assert len(called) == 16
        assert decider.failed == 20
        assert log.lines[-1]["error"] == "16 calls of it have not returned"
    finally:
        release.set()
    async with asyncio.timeout(5):
        while decider._threads:  # noqa: ASYNC110 - threads have no event
            await asyncio.sleep(0.001)
    decision = decider.decide(event(), "incoming")
    assert not isinstance(decision, Decision)
    assert await decision == Decision(rule="policy")


def start(**parameters: str) -> Start:
    body = StartBody(call_control_id="v3:a", media_format=MediaFormat("PCMU", 8000), custom_parameters=parameters)
    return Start(sequence_number=1, stream_id="S", start=body)


def test_a_stream_goes_by_its_parameters_then_by_what_was_decided_then_by_the_rules(log: Log) -> None:
    decider = Decider(
        load_routes(
            [
                {"name": "any", "direction": "outgoing"},
                {"name": "agent", "parameters": {"agent": "echo"}, "agent": "echo"},
            ]
        ),
        log=log.logger,
    )
    decided = Decision(rule="decided")
    assert decider.of_stream(start(agent="echo"), "incoming", decided).rule == "agent"
    assert decider.of_stream(start(agent="other"), "incoming", decided) is decided
    assert decider.of_stream(start(), "outgoing", None).rule == "any"
    assert decider.of_stream(start(), None, None) == Decision()
