"""Gathering keys, without I/O and without a clock: keys and times in, prompts and a result out.

A gather is a row of tries. Each begins with a prompt, where there is one, and goes on collecting keys until

    the terminating digit, or as many digits as can be    at once
    no next digit within the inter-digit timeout          with what was collected
    no first digit within the initial timeout             with nothing
    the overall timeout                                   with what was collected

The first key cuts the prompt off. All timeouts begin where the prompt has ended. What was collected is `valid` where it
has enough digits and no other than the valid ones; else `timeout` where a timeout ended it without enough of them,
and `invalid` otherwise. What is not valid leads to the next try, with `invalid_prompt` first, while there is one left.

The words for the result and the defaults are those of Telnyx's `gather`, `gather_using_audio` and
`gather_using_speak` and their `call.gather.ended`; the terminating digit is not part of `digits`.
"""

import enum
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypedDict, Unpack

from gateway.errors import MediaServiceError

__all__ = ["GatherFields", "GatherOptions", "GatherStatus", "Gathered", "Gathering", "Say", "gather_options"]

GatherStatus: TypeAlias = Literal["valid", "invalid", "timeout", "call_hangup", "cancelled"]

_KEYS: Final = frozenset("0123456789*#")
_MOST: Final = 128
_LONGEST: Final = 120.0


@dataclass(frozen=True, slots=True)
class Gathered:
    """What came of a gather.

    Attributes:
        digits: What was collected in the last try, without the terminating digit.
        status: See this module.
    """

    digits: str
    status: GatherStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherOptions:
    """What is asked for; times are seconds.

    Attributes:
        min_digits: Fewer are not valid; 1 to 128.
        max_digits: With so many, it ends at once; 1 to 128.
        terminating_digit: Ends it; empty: none does.
        valid_digits: All others make what was collected invalid.
        timeout: For all digits of one try; 0: none.
        initial_timeout: For the first digit, up to 120; None: the overall one alone.
        inter_digit_timeout: For each further one, up to 120.
        maximum_tries: 1 to 128.

    Raises:
        MediaServiceError: One of them makes no sense.
    """

    min_digits: int = 1
    max_digits: int = _MOST
    terminating_digit: str = "#"
    valid_digits: str = "0123456789#*"
    timeout: float = 60.0
    initial_timeout: float | None = 5.0
    inter_digit_timeout: float = 5.0
    maximum_tries: int = 1

    def __post_init__(self) -> None:
        initial = self.initial_timeout
        possible = {
            "min_digits": 1 <= self.min_digits <= _MOST,
            "max_digits": max(1, self.min_digits) <= self.max_digits <= _MOST,
            "terminating_digit": len(self.terminating_digit) <= 1 and set(self.terminating_digit) <= _KEYS,
            "valid_digits": set(self.valid_digits) <= _KEYS,
            "timeout": 0 <= self.timeout < float("inf"),
            "initial_timeout": initial is None or 0 < initial <= _LONGEST,
            "inter_digit_timeout": 0 < self.inter_digit_timeout <= _LONGEST,
            "maximum_tries": 1 <= self.maximum_tries <= _MOST,
        }
        for name, is_possible in possible.items():
            if not is_possible:
                raise MediaServiceError(f"{name} is {getattr(self, name)!r}, and that cannot be", status=422)


class GatherFields(TypedDict, total=False):
    """What `Call.gather` takes by name: see `GatherOptions`."""

    min_digits: int
    max_digits: int
    terminating_digit: str
    valid_digits: str
    timeout: float
    initial_timeout: float | None
    inter_digit_timeout: float


def gather_options(
    *, prompted: bool, maximum_tries: int | None = None, **fields: Unpack[GatherFields]
) -> GatherOptions:
    """The options with Telnyx's defaults: with a prompt there are three tries, and no initial timeout.

    Args:
        prompted: Whether there is a prompt.
        maximum_tries: 3 with a prompt and 1 without, if None.
        fields: The others.
    """
    fields.setdefault("initial_timeout", None if prompted else 5.0)
    return GatherOptions(maximum_tries=maximum_tries or (3 if prompted else 1), **fields)


class Say(enum.Enum):
    """What is to be said next."""

    PROMPT = "prompt"
    INVALID_PROMPT = "invalid_prompt"


class Gathering:
    """One gather, on a clock of whoever calls.

    Args:
        options: What is asked for.
        prompt: Whether there is a prompt; without one, a try begins to collect at once.
        invalid_prompt: Whether something is to be said before a further try.
        now: Seconds.

    Attributes:
        say: What is to be said now, and then told by `said`; None while keys are collected, and at the end.
        result: What came of it; None until then.
        tries: How many there were, with the present one.
        digits: What was collected so far in the present one.
    """

    def __init__(self, options: GatherOptions, *, prompt: bool, invalid_prompt: bool = False, now: float) -> None:
        self.say: Say | None = None
        self.result: Gathered | None = None
        self.tries = 0
        self._options = options
        self._prompt = prompt
        self._invalid_prompt = invalid_prompt
        self.digits = ""
        self._overall: float | None = None
        self._next: float | None = None
        self._try(now)

    def said(self, *, now: float) -> None:
        """What `say` asked for was said, or cannot be."""
        if self.say is Say.INVALID_PROMPT and self._prompt:
            self.say = Say.PROMPT
        elif self.say is not None:
            self._collect(now)

    def key(self, digit: str, *, now: float) -> None:
        """A key was pressed: one of `0` to `9`, `A` to `D`, `*` and `#`."""
        if self.result is not None:
            return
        if self.say is not None:
            self._collect(now)
        if digit == self._options.terminating_digit:
            self._judge(now, timed_out=False)
            return
        self.digits += digit
        self._next = now + self._options.inter_digit_timeout
        if len(self.digits) >= self._options.max_digits:
            self._judge(now, timed_out=False)

    def deadline(self) -> float | None:
        """When to call `pass_time` next; None while nothing has a timeout."""
        return min((at for at in (self._overall, self._next) if at is not None), default=None)

    def pass_time(self, *, now: float) -> None:
        """See what has timed out."""
        deadline = self.deadline()
        if deadline is not None and deadline <= now:
            self._judge(now, timed_out=True)

    def end(self, status: Literal["call_hangup", "cancelled"]) -> None:
        """End it as it stands. Does nothing where it has ended."""
        if self.result is None:
            self._finish(status)

    def _try(self, now: float) -> None:
        self.tries += 1
        self.digits = ""
        self._overall = self._next = None
        if self.tries > 1 and self._invalid_prompt:
            self.say = Say.INVALID_PROMPT
        elif self._prompt:
            self.say = Say.PROMPT
        else:
            self._collect(now)

    def _collect(self, now: float) -> None:
        options = self._options
        self.say = None
        self._overall = now + options.timeout if options.timeout else None
        self._next = None if options.initial_timeout is None else now + options.initial_timeout

    def _judge(self, now: float, *, timed_out: bool) -> None:
        options = self._options
        enough = len(self.digits) >= options.min_digits
        if enough and set(self.digits) <= set(options.valid_digits):
            self._finish("valid")
        elif self.tries < options.maximum_tries:
            self._try(now)
        else:
            self._finish("timeout" if timed_out and not enough else "invalid")

    def _finish(self, status: GatherStatus) -> None:
        self.result = Gathered(self.digits, status)
        self.say = self._overall = self._next = None
