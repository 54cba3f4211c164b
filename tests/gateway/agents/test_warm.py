"""Agents that get ready before their calls can be heard."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.agents.base import Agent, CallSetup
from gateway.agents.warm import WarmAgents
from gateway.call import Call
from tests.fakes import FakeLine, settle, until
from tests.gateway.test_call import payload, payloads

SETUP = CallSetup(call_control_id="v3:call", direction="incoming", caller="+15550100001", callee="+15550100002")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Diary(Agent):
    """Writes down what it is called for; waits in `prepare` until it may go on."""

    entries: list[str]
    setups: list[CallSetup]
    go_on: asyncio.Event

    def __init_subclass__(cls) -> None:
        cls.entries, cls.setups, cls.go_on = [], [], asyncio.Event()

    async def prepare(self, setup: CallSetup) -> None:
        self.setups.append(setup)
        self.entries.append("prepare")
        await self.go_on.wait()
        self.entries.append("ready")

    async def run(self, call: Call) -> None:
        self.entries.append("run")
        async for item in call:
            self.entries.append(type(item).__name__)

    async def close(self) -> None:
        self.entries.append("close")


def warm(**options: float) -> WarmAgents:
    return WarmAgents(log=structlog.get_logger(), **options)  # type: ignore[arg-type]


async def test_an_agent_is_ready_before_the_sound_comes_and_knows_who_calls() -> None:
    class Receptionist(Diary):
        pass

    Receptionist.go_on.set()
    async with warm() as agents:
        agents.expect(SETUP, Receptionist)
        agents.expect(SETUP, Receptionist)  # a webhook that comes twice
        await settle()
        assert Receptionist.entries == ["prepare", "ready"]
        async with FakeLine(agent=Receptionist, warm_agents=agents).running():
            pass
        assert agents.describe() == {"agents_warm": 0, "agents_not_warm": 0}
    assert Receptionist.entries == ["prepare", "ready", "run", "close"]
    assert Receptionist.setups == [SETUP]


async def test_what_is_heard_while_an_agent_gets_ready_is_kept_for_it() -> None:
    class Late(Diary):
        pass

    async with warm() as agents:
        agents.expect(SETUP, Late)
        line = FakeLine(agent=Late, warm_agents=agents)
        line.say(payload(0))
        async with line.running():
            line.say(*payloads(2, 1))
            await settle()
            assert Late.entries == ["prepare"]
            Late.go_on.set()
            await settle()
    assert Late.entries == ["prepare", "ready", "run", *["AudioFrame"] * 3, "close"]
    assert line.call.report()["agent_items_dropped"] == 0


async def test_of_a_long_preparation_the_last_ten_seconds_are_kept_and_the_rest_is_counted() -> None:
    class Slow(Diary):
        pass

    line = FakeLine(agent=Slow)
    async with line.running():
        line.say(*(payload(0) for _ in range(510)))
        Slow.go_on.set()
        await settle()
    assert Slow.entries.count("AudioFrame") == 500
    assert line.call.report()["agent_items_dropped"] == 10


async def test_without_a_webhook_an_agent_is_prepared_with_its_call() -> None:
    class Unannounced(Diary):
        pass

    Unannounced.go_on.set()
    async with FakeLine(agent=Unannounced).running():
        await settle()
    assert Unannounced.entries == ["prepare", "ready", "run", "close"]
    assert Unannounced.setups == [CallSetup(call_control_id="v3:call", client_state="c3RhdGU=")]


@pytest.mark.parametrize("ready", [True, False])
async def test_an_agent_whose_call_never_comes_is_closed(ready: bool) -> None:
    class Unneeded(Diary):
        pass

    if ready:
        Unneeded.go_on.set()
    async with asyncio.timeout(2), warm() as agents:
        agents.expect(SETUP, Unneeded)
        await settle()
        agents.call_over("v3:another")
        agents.call_over(SETUP.call_control_id)
        await settle()
        assert Unneeded.entries == ["prepare", *(["ready"] if ready else []), "close"]


async def test_an_agent_does_not_wait_for_its_call_for_ever() -> None:
    class Forgotten(Diary):
        pass

    async with asyncio.timeout(2), warm(patience=0.01) as agents:
        agents.expect(SETUP, Forgotten)
        await until(lambda: "close" in Forgotten.entries)
        assert agents.describe()["agents_warm"] == 0


async def test_no_more_agents_wait_than_are_allowed() -> None:
    class Many(Diary):
        pass

    async with warm(limit=2) as agents:
        for number in range(5):
            agents.expect(CallSetup(call_control_id=f"v3:{number}"), Many)
        assert agents.describe() == {"agents_warm": 2, "agents_not_warm": 3}
    assert Many.entries.count("close") == 2


async def test_an_agent_of_another_kind_than_the_call_wants_in_the_end_is_closed() -> None:
    class First(Diary):
        pass

    class Second(Diary):
        pass

    Second.go_on.set()
    async with asyncio.timeout(2), warm() as agents:
        agents.expect(SETUP, First)
        await settle()
        async with FakeLine(agent=Second, warm_agents=agents).running():
            await settle()
    assert First.entries == ["prepare", "close"]
    assert Second.entries == ["prepare", "ready", "run", "close"]


async def test_a_preparation_that_fails_is_the_failure_of_the_agent() -> None:
    class Broken(Agent):
        async def prepare(self, setup: CallSetup) -> None:
            raise ConnectionError("service is away")

        async def run(self, call: Call) -> None:
            raise AssertionError

    async with warm() as agents:
        agents.expect(SETUP, Broken)
        line = FakeLine(agent=Broken, warm_agents=agents)
        async with line.running():
            await settle()
            assert line.ended == []
    assert line.call.report()["agent_error"] == "ConnectionError: service is away"


async def test_a_preparation_that_takes_too_long_is_a_failure() -> None:
    class Stuck(Diary):
        pass

    async with asyncio.timeout(2), warm(timeout=0.01) as agents:
        agents.expect(SETUP, Stuck)
        line = FakeLine(agent=Stuck, warm_agents=agents)
        async with line.running():
            await until(lambda: line.call.report()["agent_error"] is not None)
    assert line.call.report()["agent_error"] == "AgentError: it was not ready within 0.01 s"


async def test_an_agent_that_cannot_be_made_early_is_tried_again_with_its_call() -> None:
    attempts = []

    class Shy(Agent):
        def __init__(self) -> None:
            attempts.append(self)
            if len(attempts) == 1:
                raise OSError("not yet")

        async def run(self, call: Call) -> None:
            call.mark("here")

    async with warm() as agents:
        agents.expect(SETUP, Shy)
        line = FakeLine(agent=Shy, warm_agents=agents)
        async with line.running():
            assert line.script() == ["here"]
        assert agents.describe()["agents_not_warm"] == 1
