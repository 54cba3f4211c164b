"""A method that does not keep its object."""

import gc

import pytest

from gateway.weakly import weakly


class Owner:
    def __init__(self) -> None:
        self.add = weakly(self.sum)  # what would be a cycle

    def sum(self, one: int, *, other: int = 0) -> int:
        return one + other


def test_it_calls_the_method_while_its_object_is_there() -> None:
    owner = Owner()
    assert owner.add(1) == 1
    assert owner.add(1, other=2) == 3


def test_it_does_not_keep_the_object_and_says_whose_it_was() -> None:
    enabled = gc.isenabled()
    gc.disable()
    try:
        add = Owner().add
        with pytest.raises(ReferenceError, match=r"Owner\.sum: its object is gone"):
            add(1)
    finally:
        if enabled:
            gc.enable()
