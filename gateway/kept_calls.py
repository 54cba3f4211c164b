"""The directory of calls with what was kept of earlier processes; every change of a call is kept."""

from collections.abc import Callable
from typing import Final

from structlog.typing import FilteringBoundLogger

from gateway.cluster.owners import Owners
from gateway.directory import CallDirectory, CallRecord
from gateway.errors import StoreError
from gateway.store.store import Store

__all__ = ["restore_calls"]

_MAX_OWNERS: Final = 20_000


async def restore_calls(
    store: Store,
    *,
    longest_call: float,
    log: FilteringBoundLogger,
    keep: int = 1000,
    on_change: Callable[[CallRecord], None] | None = None,
    owners: Owners | None = None,
) -> CallDirectory:
    """Make the directory.

    Args:
        store: Where the calls are kept.
        longest_call: Seconds after which a call is over even if nobody told of its end.
        log: Gets a line for each record that cannot be read.
        keep: How many calls whose stream or life is over to remember, and how many of any kind to take back.
        on_change: Told of each record that has changed.
        owners: Of several workers each has calls of its own; None: there is one only.

    Raises:
        StoreError: The store cannot be read.
    """

    def changed(record: CallRecord) -> None:
        ours = owners is None or owners.tell(record.call_control_id, streams=lambda: bool(record.life.sockets_open))
        if not ours:
            return  # the worker that has the call keeps it
        store.save_call(record.call_control_id, lambda: (record.state.name.lower(), record.started_at, record.freeze()))
        if on_change is not None:
            on_change(record)

    if owners is not None:
        owners.restore(await store.owners(limit=_MAX_OWNERS))
    directory = CallDirectory(keep_ended=keep, changed=changed, given=store.forget_call)
    for call_control_id, frozen in await store.calls(limit=keep):
        try:
            record = CallRecord.thaw(call_control_id, frozen)
        except StoreError as error:
            log.warning("call not restored", call_control_id=call_control_id, error=str(error))
        else:
            directory.restore(record, longest_call=longest_call)
    return directory
