"""From the buffer to the sink: who hands it over is what the sink's delivery says."""

import asyncio
import enum
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from gateway.sinks.base import SinkSource, StreamInfo
from gateway.sinks.budget import LoopBudget
from gateway.sinks.buffered import Buffered
from gateway.sinks.delivery import Delivery
from gateway.sinks.direct import in_call
from gateway.sinks.process import WorkerProcesses, in_process
from gateway.sinks.threaded import in_thread
from gateway.sinks.worker import Worker, in_task, own_error

__all__ = ["Rest", "feed", "open_worker"]


class Rest(enum.Enum):
    """What is to become of the frames that wait as a worker stops."""

    DELIVER = enum.auto()
    KEEP = enum.auto()


def open_worker(
    source: SinkSource,
    info: StreamInfo,
    delivery: Delivery,
    *,
    budget: LoopBudget,
    processes: WorkerProcesses | None,
    on_change: Callable[[], None],
) -> AbstractAsyncContextManager[Worker]:
    """Open a sink where it wants to be; leaving the context closes it.

    Args:
        source: Makes the sink.
        info: The stream.
        delivery: What it asks for.
        budget: Takes the times that it keeps the event loop.
        processes: Where sinks run that want a process.
        on_change: Told when a sink that is called directly is to be called in another way.
    """
    match delivery.by:
        case "call":
            return in_call(source, info, budget=budget, on_change=on_change)
        case "task":
            return in_task(source, info, budget=budget)
        case "thread":
            return in_thread(source, info)
        case "process":
            return in_process(source, info, processes=processes)


async def feed(
    worker: Worker, buffer: Buffered, *, stop: asyncio.Future[Rest], close_timeout: float
) -> BaseException | None:
    """Give the worker what comes, until it is to stop.

    Args:
        worker: Has the sink.
        buffer: Has the frames; it is closed before `stop` says that the rest is to be delivered.
        stop: Done when no more frames are to be taken from the way of the frames, or none at all.
        close_timeout: Seconds that the worker has for the rest, and as many to give up on it.

    Returns:
        What the sink has raised. Not raised again: its traceback would have the frame that has the task that has it.
    """
    feeding = asyncio.ensure_future(_drain(worker, buffer))

    def stopped(done: asyncio.Future[Rest]) -> None:
        if not done.cancelled() and done.result() is Rest.KEEP:
            feeding.cancel()  # before it takes another frame

    stop.add_done_callback(stopped)
    try:
        await asyncio.wait((feeding, stop), return_when=asyncio.FIRST_COMPLETED)
        if stop.done() and stop.result() is Rest.DELIVER:
            await asyncio.wait((feeding,), timeout=close_timeout)
    finally:
        feeding.cancel()
    await asyncio.wait((feeding,), timeout=close_timeout)  # it may have to tidy up, or refuse to go
    return feeding.exception() if feeding.done() and not feeding.cancelled() else None


async def _drain(worker: Worker, buffer: Buffered) -> None:
    try:
        await worker.drain(buffer)
        while await buffer.ready():
            await worker.drain(buffer)
    except (asyncio.CancelledError, SystemExit) as error:
        raise own_error(error) from error
