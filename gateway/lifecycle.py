"""The life of one call, as far as it was told: by webhooks, by the answers to commands, by the media sockets.

Nobody promises an order between these three, nor that a webhook comes once: a socket may open before
`streaming_start` has answered, or before `call.answered`, and `call.hangup` may be the first thing ever heard of a
call. So nothing here is a step from one state to the next. What is told are facts, each of them true whenever it
arrives, and the state is a function of their set. A set knows no order and no repetition: whatever the order, the same
facts lead to the same state, and what is told twice changes nothing.

    dialled -> ringing -> answered -> stream_requested -> connected -> streaming -> stopped -> ended -> stored

A call may have several streams: one that failed is asked for again, a lost socket comes back. So the facts of streams
name the request, the socket or the webhook that they are about, and a stream that is under way counts for more than
one that is over. `stored` is a call that has ended and whose streams have closed their sinks: its recordings are
complete. A call that had no stream stays `ended`.

What a media socket says of its stream is believed before what webhooks say of it: those name no stream, and tell of
the streams of other programs as well.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar, cast

import msgspec

from gateway.decision import Action, Decision

__all__ = [
    "MAX_STREAM_FAILURES",
    "AnswerAccepted",
    "AnswerRefused",
    "Answered",
    "CallLifecycle",
    "CallState",
    "Decided",
    "Dialled",
    "Fact",
    "HungUp",
    "Initiated",
    "MediaSocket",
    "Parties",
    "RejectAccepted",
    "RejectRefused",
    "SocketStage",
    "StreamRefused",
    "StreamRequested",
    "StreamingFailed",
    "StreamingReported",
]

MAX_STREAM_FAILURES: Final = 3
"""How many streams of one call may fail; after that none is asked for any more."""

_MAX_FACTS: Final = 400
"""How many facts of one call are kept; a call has about ten, and hundreds are somebody's mistake."""


class CallState(enum.IntEnum):
    """How far a call has come; the order is the order of life."""

    DIALLED = 0
    RINGING = 1
    ANSWERED = 2
    STREAM_REQUESTED = 3
    CONNECTED = 4
    STREAMING = 5
    STOPPED = 6
    ENDED = 7
    STORED = 8


class SocketStage(enum.IntEnum):
    """How far a media socket has come: open; streaming; stream over; its sinks closed; or closed without a stream."""

    CONNECTED = 0
    STARTED = 1
    STOPPED = 2
    STORED = 3
    ABANDONED = 4


_WITH_STREAM: Final = frozenset({SocketStage.STARTED, SocketStage.STOPPED, SocketStage.STORED})


class _Fact(msgspec.Struct, frozen=True, gc=False, tag=str.lower, tag_field="fact", omit_defaults=True):
    """Something that is known of a call."""

    milestone: ClassVar[CallState | None] = None  # the state that this is a sign of


class Dialled(_Fact, frozen=True):
    """Telnyx took our `dial`."""

    milestone = CallState.DIALLED


class Initiated(_Fact, frozen=True):
    """`call.initiated`; its direction is `incoming` or `outgoing`."""

    milestone = CallState.RINGING

    direction: str | None = None


class Parties(_Fact, frozen=True):
    """Who calls whom: phone numbers or SIP addresses, which stand in no log."""

    from_: str | None = None
    to: str | None = None


class Decided(_Fact, frozen=True):
    """What is to be done with the call; decided once."""

    decision: Decision


class AnswerAccepted(_Fact, frozen=True):
    """Telnyx took our `answer`; `call.answered` follows."""


class AnswerRefused(_Fact, frozen=True):
    """Telnyx refused our `answer`, or did not reply to it."""


class RejectAccepted(_Fact, frozen=True):
    """Telnyx took our `reject`; `call.hangup` follows."""


class RejectRefused(_Fact, frozen=True):
    """Telnyx refused our `reject`, or did not reply to it."""


class Answered(_Fact, frozen=True):
    """`call.answered`."""

    milestone = CallState.ANSWERED


class HungUp(_Fact, frozen=True):
    """`call.hangup`; or nobody ever told of it, and the call cannot have lasted until now."""

    milestone = CallState.ENDED

    cause: str | None = None


class StreamRequested(_Fact, frozen=True):
    """Telnyx took a command that asks for a stream; the request is named by its `command_id`."""

    milestone = CallState.STREAM_REQUESTED

    request: str


class StreamRefused(_Fact, frozen=True):
    """Telnyx refused a command that asks for a stream, or did not reply to it."""

    request: str


class StreamingReported(_Fact, frozen=True):
    """`streaming.started` or `streaming.stopped`, named by the webhook's id: these name no stream."""

    event_id: str
    what: Literal["started", "stopped"]


class StreamingFailed(_Fact, frozen=True):
    """`streaming.failed`, named by its `stream_id`; by the webhook's id where it has none."""

    stream: str


class MediaSocket(_Fact, frozen=True):
    """How far a media socket of this call has come; its `stream_id` is known once its stream has started."""

    socket: str
    stage: SocketStage
    stream_id: str | None = None


Fact: TypeAlias = (
    Dialled
    | Initiated
    | Decided
    | AnswerAccepted
    | AnswerRefused
    | RejectAccepted
    | RejectRefused
    | Answered
    | HungUp
    | StreamRequested
    | StreamRefused
    | StreamingReported
    | StreamingFailed
    | MediaSocket
    | Parties
)

_F = TypeVar("_F", bound=_Fact)


class CallLifecycle:
    """The facts of one call, and what follows from them.

    Args:
        facts: What is known already, each with the Unix time at which it was first told.

    Attributes:
        facts: The same, with what was told since.
    """

    __slots__ = ("_by_kind", "_state", "facts")

    def __init__(self, facts: Iterable[tuple[Fact, float]] = ()) -> None:
        self.facts: dict[Fact, float] = {}
        self._by_kind: dict[type[Fact], tuple[Fact, ...]] = {}  # the same facts, to be found quickly
        self._state: CallState | None = None  # None where it has to be found out again
        for fact, at in facts:
            self._add(fact, at)

    def tell(self, fact: Fact, *, now: float) -> bool:
        """Take a fact, in any order and any number of times.

        Returns:
            Whether it is news. Where far too much was told of a call, only its end and that of its sockets is.
        """
        if fact in self.facts or not self._has_room(fact):
            return False
        self._add(fact, now)
        return True

    def _add(self, fact: Fact, at: float) -> None:
        self.facts[fact] = at
        kind = type(fact)
        self._by_kind[kind] = (*self._by_kind.get(kind, ()), fact)
        self._state = None

    # --- what is so -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> CallState:
        """How far the call has come."""
        if self._state is None:
            self._state = self._find_state()
        return self._state

    def _find_state(self) -> CallState:
        told = self._by_kind
        stages = self._sockets().values() if MediaSocket in told else ()
        if HungUp in told:
            streams = [stage for stage in stages if stage in _WITH_STREAM]
            return CallState.STORED if streams and min(streams) is SocketStage.STORED else CallState.ENDED
        if stages or StreamRequested in told or StreamingReported in told:
            if SocketStage.STARTED in stages or self._streams_elsewhere() > 0:
                return CallState.STREAMING
            if SocketStage.CONNECTED in stages:
                return CallState.CONNECTED
            if StreamRequested in told and self._requests_open() > 0:
                return CallState.STREAM_REQUESTED
            if self._streams_begun():
                return CallState.STOPPED
        if Answered in told:
            return CallState.ANSWERED
        return CallState.RINGING if Initiated in told else CallState.DIALLED

    @property
    def direction(self) -> str | None:
        """`incoming` or `outgoing`; None while no webhook told."""
        return min((fact.direction for fact in self._of(Initiated) if fact.direction is not None), default=None)

    @property
    def decision(self) -> Decision | None:
        """What is to be done with the call; None while nobody has decided."""
        decided = self._of(Decided)
        if len(decided) <= 1:
            return decided[0].decision if decided else None
        # More than one is somebody's mistake; then any will do that is the same whatever the order.
        return min((fact.decision for fact in decided), key=msgspec.json.encode)

    @property
    def hangup_cause(self) -> str | None:
        """From `call.hangup`, such as `normal_clearing`."""
        return min((fact.cause for fact in self._of(HungUp) if fact.cause is not None), default=None)

    @property
    def from_(self) -> str | None:
        """The caller; in no log."""
        return min((fact.from_ for fact in self._of(Parties) if fact.from_ is not None), default=None)

    @property
    def to(self) -> str | None:
        """The one who was called; in no log."""
        return min((fact.to for fact in self._of(Parties) if fact.to is not None), default=None)

    @property
    def sockets_open(self) -> list[MediaSocket]:
        """The media sockets whose end was not told yet, each with the last that was."""
        furthest = {fact.socket: fact for fact in sorted(self._of(MediaSocket), key=lambda fact: fact.stage)}
        return [fact for fact in furthest.values() if fact.stage <= SocketStage.STARTED]

    def reached(self) -> dict[CallState, float]:
        """When the first sign of each state was told, in the order of life; Unix time."""
        times: dict[CallState, float] = {}
        for fact, at in self.facts.items():
            milestone = _milestone(fact)
            if milestone is not None:
                times[milestone] = min(at, times.get(milestone, at))
        return dict(sorted(times.items()))

    # --- what is to be done -----------------------------------------------------------------------------------------

    @property
    def wants_answer(self) -> bool:
        """Whether this is an incoming call that nobody has picked up yet, and that is to be."""
        return self._rings("answer") and not self._told(AnswerAccepted, AnswerRefused, MediaSocket)

    @property
    def wants_rejection(self) -> bool:
        """Whether this is an incoming call that nobody has picked up yet, and that is to be rejected."""
        return self._rings("reject") and not self._told(RejectAccepted, RejectRefused)

    @property
    def wants_stream(self) -> bool:
        """Whether the call was answered and is to have a stream or fork, and has none, neither asked for nor under way.

        A stream that was ended on purpose is not asked for again. One that failed is, until `MAX_STREAM_FAILURES` have.
        """
        if not self._told(Answered) or self.state not in (CallState.ANSWERED, CallState.STOPPED):
            return False
        if self.decision is not None and (self.decision.action != "answer" or self.decision.media == "none"):
            return False
        failures = self.streams_failed
        if self._told(StreamRefused) or failures >= MAX_STREAM_FAILURES:
            return False
        return self.streams_requested <= failures if failures else not self._streams_begun()

    @property
    def streams_failed(self) -> int:
        """How many streams of this call have failed."""
        return len(self._of(StreamingFailed))

    @property
    def streams_requested(self) -> int:
        """How many streams were asked for, by commands that Telnyx took."""
        return len(self._of(StreamRequested))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _of(self, kind: type[_F]) -> Sequence[_F]:
        facts = self._by_kind.get(cast("type[Fact]", kind), ())
        return cast("Sequence[_F]", facts)

    def _rings(self, action: Action) -> bool:
        """Whether this is an incoming call that waits for this to be done; what nobody has decided is answered."""
        decided = "answer" if self.decision is None else self.decision.action
        return decided == action and self.direction == "incoming" and not self._told(Answered, HungUp)

    def _told(self, *kinds: type[Fact]) -> bool:
        return not self._by_kind.keys().isdisjoint(kinds)

    def _has_room(self, fact: Fact) -> bool:
        if len(self.facts) < _MAX_FACTS or isinstance(fact, HungUp):
            return True
        return isinstance(fact, MediaSocket) and fact.socket in self._sockets()

    def _sockets(self) -> dict[str, SocketStage]:
        """How far each media socket has come."""
        furthest: dict[str, SocketStage] = {}
        for fact in self._of(MediaSocket):
            furthest[fact.socket] = max(fact.stage, furthest.get(fact.socket, fact.stage))
        return furthest

    def _streams_here(self) -> set[str]:
        """The streams that came in on a media socket."""
        return {fact.stream_id or fact.socket for fact in self._of(MediaSocket) if fact.stage in _WITH_STREAM}

    def _streams_elsewhere(self) -> int:
        """How many streams are under way that only webhooks know of; less than 0 where their end was told first."""
        reports = [] if self._streams_here() else [fact.what for fact in self._of(StreamingReported)]
        return reports.count("started") - reports.count("stopped")

    def _streams_begun(self) -> int:
        """How many streams there were at least, by sockets or, where there are none, by webhooks."""
        here = len(self._streams_here())
        return here or len([fact for fact in self._of(StreamingReported) if fact.what == "started"])

    def _requests_open(self) -> int:
        """How many requests for a stream have led to nothing yet."""
        refused = {fact.request for fact in self._of(StreamRefused)}
        requests = {fact.request for fact in self._of(StreamRequested)} - refused
        failed = {fact.stream for fact in self._of(StreamingFailed)} - self._streams_here()
        return len(requests) - len(failed) - self._streams_begun()


def _milestone(fact: Fact) -> CallState | None:
    match fact:
        case MediaSocket(stage=SocketStage.ABANDONED):
            return None
        case MediaSocket(stage=stage):
            return (CallState.CONNECTED, CallState.STREAMING, CallState.STOPPED, CallState.STORED)[stage]
        case StreamingReported(what=what):
            return CallState.STREAMING if what == "started" else CallState.STOPPED
        case _:
            return fact.milestone
