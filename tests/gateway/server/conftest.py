"""What the tests of the media port share: both event loops and both transports, and a log that is kept."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.gateway.control.conftest import Log as Log
from tests.gateway.control.conftest import log as log
from tests.gateway.server import chosen

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run the tests on asyncio's own loop, and on uvloop where it is installed: the service prefers it."""
    del config, item
    try:
        import uvloop
    except ImportError:
        return {"asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["websockets", "picows"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """What drives the media sockets of the test: each of the transports in turn."""
    with chosen.using(request.param):
        yield request.param
