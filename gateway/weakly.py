"""How what belongs to a call refers back to its owner: weakly, so that there is no cycle.

An ended call is then freed at once. Cycles would have to be found by a full garbage collection, in which no frame
moves. Nothing that runs for each frame goes this way.
"""

import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["weakly"]

P = ParamSpec("P")
T = TypeVar("T")


def weakly(method: Callable[P, T]) -> Callable[P, T]:
    """A bound method as a function that does not keep the method's object.

    Args:
        method: The method, of an object that can be referred to weakly.

    Returns:
        What calls it. Raises ReferenceError once the object is gone.
    """
    return _WeakMethod(method)


class _WeakMethod:
    """As `weakref.WeakMethod`, but called by itself, and small: a call has twenty of them."""

    __slots__ = ("_function", "_owner")

    def __init__(self, method: Any) -> None:
        self._function = method.__func__
        self._owner = weakref.ref(method.__self__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        owner = self._owner()
        if owner is None:
            raise ReferenceError(f"{self._function.__qualname__}: its object is gone")
        return self._function(owner, *args, **kwargs)
