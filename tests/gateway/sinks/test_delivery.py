"""What a sink may ask for."""

from typing import Any

import pytest

from gateway.sinks.delivery import Declared, Delivery, Restart, delivery_of
from tests.fakes import ListSink


def test_a_source_without_a_delivery_is_called_directly() -> None:
    assert delivery_of(ListSink().factory) == Delivery()
    assert (str(Delivery()), Delivery().by) == ("call", "call")


def test_a_class_says_it_of_itself_and_a_declaration_says_it_of_anything() -> None:
    class Sink(ListSink):
        delivery = Delivery(by="task", sample_rate=16_000, frames=100, full="spill")

    source: Any = Sink
    assert delivery_of(source) is Sink.delivery
    assert str(Sink.delivery) == "Resampled(16000) -> Buffered(100, spill) -> task"
    assert delivery_of(Declared(source, Delivery(by="thread"))).by == "thread"


def test_a_delivery_that_is_none_is_refused() -> None:
    class Sink(ListSink):
        delivery = "by thread"

    with pytest.raises(TypeError, match="want a Delivery"):
        delivery_of(Sink)


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_rate": 3999},
        {"sample_rate": 0},
        {"frames": 0},
        {"by": "magic"},
        {"full": "block"},
        {"spill_bytes": 10},
        {"linger": -1},
        {"linger": float("nan")},
        {"preroll": -1},
        {"open_timeout": 0},
        {"close_timeout": -1},
    ],
)
def test_what_cannot_be_is_refused_as_it_is_said(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Delivery(**fields)


def test_the_waits_between_restarts_double_up_to_the_longest_and_end() -> None:
    restart = Restart(first=1, longest=10, attempts=6)
    assert [restart.delay(attempt) for attempt in range(1, 8)] == [1, 2, 4, 8, 10, 10, None]
    assert Restart(attempts=10**6).delay(10**6) == 30
