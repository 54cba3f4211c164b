"""Requests that a Telnyx SDK sends again by itself: they get the `command_id` that the first of them got.

Telnyx's packages count their attempts in `x-stainless-retry-count`, but send no id that would tell a repetition from
another command of the same kind. The id is made of the request's body, and of how often that body came as a first
attempt within the last minute: so a repetition acts once, and two commands that look the same act twice.
"""

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["RETRY_COUNT", "RepeatedRequests"]

RETRY_COUNT: Final = "x-stainless-retry-count"

_NAMESPACE: Final = uuid.UUID("0f6f3d6e-3a54-4f0c-a8fd-0d54f6c0b1c7")


class RepeatedRequests:
    """Makes the ids.

    Args:
        clock: Monotonic seconds.
        window: Seconds within which Telnyx knows an id again.
        max_bodies: How many bodies to remember; the oldest are forgotten.
    """

    def __init__(self, clock: Callable[[], float], *, window: float = 60.0, max_bodies: int = 10_000) -> None:
        self._clock = clock
        self._window = window
        self._max_bodies = max_bodies
        self._seen: OrderedDict[bytes, tuple[int, float]] = OrderedDict()  # how often, and when last; oldest first

    def command_id(self, retry_count: str | None, path: str, body: bytes) -> str | None:
        """The id for a request.

        Args:
            retry_count: What the SDK says: `0` for a first attempt.
            path: Where the request goes; the same body elsewhere is another command.
            body: As it came.

        Returns:
            None where the request says nothing of attempts.
        """
        if retry_count is None:
            return None
        digest = hashlib.sha256(path.encode("utf-8", "surrogateescape") + b"\0" + body).digest()
        now = self._clock()
        while self._seen and next(iter(self._seen.values()))[1] <= now - self._window:
            self._seen.popitem(last=False)
        times, _ = self._seen.pop(digest, (0, now))
        if retry_count.strip() in ("", "0"):
            times += 1
        times = max(1, times)  # a first attempt that did not get here, or came to an earlier process
        self._seen[digest] = times, now
        if len(self._seen) > self._max_bodies:
            self._seen.popitem(last=False)
        return str(uuid.uuid5(_NAMESPACE, f"{digest.hex()} {times}"))
