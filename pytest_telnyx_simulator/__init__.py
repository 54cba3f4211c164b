"""The pytest plugin: a fixture `telnyx_simulator`, which is Telnyx for the application under test.

def test_the_caller_hears_an_echo(telnyx_simulator):
    call = telnyx_simulator.call("hears_an_echo", webhook_url="http://127.0.0.1:5000/webhooks")
    call.check()

pytest loads every installed plugin in every run, so this one is a package of its own that imports nothing of the
gateway before a test asks for the fixture.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.simulator.background import BackgroundSimulator

__all__ = ["pytest_configure", "telnyx_simulator", "telnyx_simulator_options"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "telnyx_simulator(**options): how the simulator of this test behaves, such as switches={'unknown_call': '422'};"
        " see docs/simulator.md",
    )


@pytest.fixture
def telnyx_simulator_options() -> Mapping[str, Any]:
    """Options of `BackgroundSimulator` for the tests of this module, class or folder: override it there."""
    return {}


@pytest.fixture
def telnyx_simulator(
    request: pytest.FixtureRequest, telnyx_simulator_options: Mapping[str, Any]
) -> "Iterator[BackgroundSimulator]":
    """A simulator of this test's own, on a free port, in a thread of its own.

    Its options are those of the fixture `telnyx_simulator_options`, and over them those of the markers, the closest
    to the test last.
    """
    with warnings.catch_warnings():  # the standard library's own, up to 3.12, may be an error in the user's tests
        warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)
        from gateway.simulator.background import BackgroundSimulator

    options = dict(telnyx_simulator_options)
    for marker in reversed(list(request.node.iter_markers("telnyx_simulator"))):
        if marker.args:
            pytest.fail("the marker telnyx_simulator takes options by name only", pytrace=False)
        options |= marker.kwargs
    with BackgroundSimulator(**options) as simulator:
        yield simulator
