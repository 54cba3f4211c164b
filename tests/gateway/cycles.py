"""Finds what only the garbage collector would free, and the cycle that holds it."""

import gc
import types
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OURS = ("gateway", "audio_codecs")


@contextmanager
def no_cycles() -> Iterator[None]:
    """What is made in the block, and forgotten by its end, is freed by then: nothing of ours waits for a collection."""
    enabled, debug, before = gc.isenabled(), gc.get_debug(), gc.garbage[:]
    gc.disable()
    gc.freeze()  # what was there before is of no interest, nor has it to be looked at
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.garbage.clear()
        yield
        gc.collect()
        garbage = gc.garbage[:]
    finally:
        gc.set_debug(debug)
        gc.garbage[:] = before
        gc.unfreeze()
        if enabled:
            gc.enable()
    counted = Counter(name(one) for one in garbage if ours(one))
    assert not counted, f"{dict(counted)}\nheld by {cycle(garbage)}"


def ours(one: Any) -> bool:
    """Whether this is of a class of the project, or code of it."""
    kind = type(one)  # not `isinstance`, which asks a weak proxy for what it was one of
    module = one.__module__ if kind is types.FunctionType else kind.__module__
    return str(module).partition(".")[0] in OURS  # of some classes it is a descriptor


def name(one: Any) -> str:
    kind = type(one)
    if kind is types.FrameType:
        return f"frame of {one.f_code.co_name}"
    named = kind in (types.FunctionType, types.MethodType, types.CoroutineType, types.GeneratorType)
    return str((one if named else kind).__qualname__)


def cycle(garbage: list[object]) -> str:
    """The shortest way from one of ours back to itself; if there is none, one is held by a cycle of others."""
    ways = [way for one in garbage if ours(one) and (way := way_back(one, garbage)) is not None]
    ways = ways or [way for one in garbage if (way := way_back(one, garbage)) is not None]
    return " -> ".join(name(one) for one in min(ways, key=len))


def way_back(start: object, garbage: list[object]) -> list[object] | None:
    among = {id(one) for one in garbage}
    before: dict[int, object] = {}
    waiting = deque([start])
    while waiting:
        one = waiting.popleft()
        for next_one in gc.get_referents(one):
            if next_one is start:
                way = [one]
                while way[-1] is not start:
                    way.append(before[id(way[-1])])
                return [*reversed(way), start]
            if id(next_one) in among and id(next_one) not in before:
                before[id(next_one)] = one
                waiting.append(next_one)
    return None
