"""Everything that can go wrong at Telnyx's side, as one model: a seed, and a family of faults for each kind of traffic.

Chances are 0 to 1, times are seconds. Where everything has its default nothing goes wrong. `times` limits how often
faults of a family happen, so that a test can have exactly one.
"""

import random
from collections import Counter
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "NO_FAULTS",
    "FaultBook",
    "Faults",
    "MediaFaults",
    "RestFaults",
    "SocketFaults",
    "StartFaults",
    "WebhookFaults",
]

_Chance: TypeAlias = Annotated[float, Field(ge=0, le=1)]
_Seconds: TypeAlias = Annotated[float, Field(ge=0, le=3600)]
_Times: TypeAlias = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MediaFaults(_Model):
    """Of the frames that the application is sent, on sockets and in forks.

    Attributes:
        lost: Chance that a loss begins with a frame.
        lost_run: Frames that one loss takes.
        doubled: Chance that a frame comes twice.
        reordered: Chance that others overtake a frame.
        reordered_by: How many.
        jitter: Longest delay of a frame; each has one of its own, but none overtakes.
        stall_every: A stall ends so many seconds after the one before; 0 for none.
        stall: How long it lasts: what was held back then comes at once.
        malformed: Chance that a frame comes as something that is none.
        byte_swap: L16 in the other byte order, both ways.
    """

    lost: _Chance = 0.0
    lost_run: Annotated[int, Field(ge=1, le=10_000)] = 1
    doubled: _Chance = 0.0
    reordered: _Chance = 0.0
    reordered_by: Annotated[int, Field(ge=1, le=100)] = 1
    jitter: Annotated[float, Field(ge=0, le=10)] = 0.0
    stall_every: _Seconds = 0.0
    stall: Annotated[float, Field(ge=0, le=60)] = 0.5
    malformed: _Chance = 0.0
    byte_swap: bool = False


class SocketFaults(_Model):
    """Of the media socket.

    Attributes:
        cut_after: It falls so many seconds after `start`; None for never.
        close_code: The code of its close frame; None falls without one.
        reconnect_after: A new one is opened so many seconds later; None for never.
        new_stream_id: The new one has a stream id of its own.
        read_delay: Telnyx takes so long for each message that it reads.
        times: How many sockets fall at most.
    """

    cut_after: _Seconds | None = None
    close_code: Annotated[int, Field(ge=1000, le=4999)] | None = None
    reconnect_after: _Seconds | None = None
    new_stream_id: bool = False
    read_delay: Annotated[float, Field(ge=0, le=60)] = 0.0
    times: _Times | None = 1


class StartFaults(_Model):
    """Of a stream's beginning.

    Attributes:
        late: `start` comes so much later than `connected`.
        never: It does not come at all.
        codec: What the application is sent, and told, whatever it asked for.
    """

    late: _Seconds = 0.0
    never: bool = False
    codec: Literal["PCMU", "PCMA", "L16"] | None = None


class WebhookFaults(_Model):
    """Of single attempts to deliver a webhook.

    Attributes:
        late: Chance that one comes late.
        late_by: How late.
        doubled: Chance that one comes twice.
        reordered: Chance that one comes behind the call's next one, or a second later where there is none.
        dropped: Chance that one is lost on its way; as nobody answers, it is tried again.
        bad_signature: Chance that one has a wrong signature.
        only: Event types that this is for; all if empty.
        times: How often at most; None for any number.
    """

    late: _Chance = 0.0
    late_by: _Seconds = 1.0
    doubled: _Chance = 0.0
    reordered: _Chance = 0.0
    dropped: _Chance = 0.0
    bad_signature: _Chance = 0.0
    only: tuple[str, ...] = ()
    times: _Times | None = None


class RestFaults(_Model):
    """Of requests under `/v2`.

    Attributes:
        slow: Chance that an answer takes long.
        slow_by: How long.
        status_429: Chance of that answer, with `retry-after`; nothing is done.
        status_500: Chance of that answer; nothing is done.
        reset: Chance that the connection is reset before anything is done.
        reset_after: Chance that it is reset instead of the answer: the command has acted.
        after_socket: Chance that the answer to what opens a stream waits until its socket is open.
        only: Actions that this is for, `dial` and `query` among them; all if empty.
        times: How often at most; None for any number.
    """

    slow: _Chance = 0.0
    slow_by: _Seconds = 1.0
    status_429: _Chance = 0.0
    status_500: _Chance = 0.0
    reset: _Chance = 0.0
    reset_after: _Chance = 0.0
    after_socket: _Chance = 0.0
    only: tuple[str, ...] = ()
    times: _Times | None = None


class Faults(_Model):
    """All that goes wrong.

    Attributes:
        seed: The same seed and the same traffic give the same faults.
    """

    seed: int = 0
    media: MediaFaults = MediaFaults()
    socket: SocketFaults = SocketFaults()
    start: StartFaults = StartFaults()
    webhooks: WebhookFaults = WebhookFaults()
    rest: RestFaults = RestFaults()


NO_FAULTS: Final = Faults()

_Family: TypeAlias = Literal["socket", "webhooks", "rest"]


class _Page:
    """Faults in force, with the dice that they are thrown by and how often they happened."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.happened: Counter[_Family] = Counter()
        self.streams = 0
        self.dice = {family: _dice(faults.seed, family) for family in ("webhooks", "rest")}


class FaultBook:
    """Which faults are in force, for all calls and for single ones; changed while calls run.

    Args:
        faults: For all calls.
    """

    def __init__(self, faults: Faults = NO_FAULTS) -> None:
        self._all = _Page(faults)
        self._calls: dict[str, _Page] = {}

    def of(self, call_control_id: str | None = None) -> Faults:
        """What goes wrong in this call, or where no call is known."""
        return self._page(call_control_id).faults

    def set(self, faults: Faults, call_control_id: str | None = None) -> None:
        """Put faults in force, in place of what was: for one call, or for all that have none of their own."""
        if call_control_id is None:
            self._all = _Page(faults)
        else:
            self._calls[call_control_id] = _Page(faults)

    def clear(self, call_control_id: str | None = None) -> None:
        """Let nothing go wrong any more; for one call, let happen what happens to all. Without one, clear all."""
        if call_control_id is None:
            self._all = _Page(NO_FAULTS)
            self._calls.clear()
        else:
            self._calls.pop(call_control_id, None)

    def calls(self) -> dict[str, Faults]:
        """The calls with faults of their own."""
        return {call_control_id: page.faults for call_control_id, page in self._calls.items()}

    def throw(self, family: Literal["webhooks", "rest"], chance: float, call_control_id: str | None) -> bool:
        """Whether a fault with this chance happens now."""
        page = self._page(call_control_id)
        # Thrown even where it cannot happen any more: one family's limit does not change what else happens.
        happens = chance > 0 and page.dice[family].random() < chance
        return happens and self.take(family, call_control_id)

    def take(self, family: _Family, call_control_id: str | None) -> bool:
        """Whether the family's limit lets one more fault happen; counts it."""
        page = self._page(call_control_id)
        faults = page.faults
        most = {"socket": faults.socket.times, "webhooks": faults.webhooks.times, "rest": faults.rest.times}[family]
        if most is not None and page.happened[family] >= most:
            return False
        page.happened[family] += 1
        return True

    def stream_dice(self, call_control_id: str | None) -> random.Random:
        """Dice for one more stream."""
        page = self._page(call_control_id)
        page.streams += 1
        return _dice(page.faults.seed, f"stream {page.streams}")

    def _page(self, call_control_id: str | None) -> _Page:
        if call_control_id is None:
            return self._all
        return self._calls.get(call_control_id, self._all)


def _dice(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed} {name}")  # noqa: S311 - faults are to be repeatable, not secret
