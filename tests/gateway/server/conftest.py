"""What the tests of the media port share: both event loops, as their transports differ, and a log that is kept."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.gateway.control.conftest import Log as Log
from tests.gateway.control.conftest import log as log

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run the tests on asyncio's own loop, and on uvloop where it is installed: the service prefers it."""
    del config, item
    try:
        import uvloop
    except ImportError:
        return {"asyncio": asyncio.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
