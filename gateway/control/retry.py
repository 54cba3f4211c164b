"""When a command is sent again: after how long, and whether at all.

Pure: the time, the chance and the answer are arguments. Source: Telnyx, "Command Retries" and "API rate limiting";
`Retry-After` is RFC 9110 section 10.2.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["RetryPolicy", "is_transient", "retry_after"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Pauses that double, each moved by chance, so that those who failed together do not come back together. Seconds.

    Telnyx advises to send a command again after half a second without a reply; the later attempts wait longer, so that
    an API that is merely slow is heard in the end.

    Attributes:
        timeout: What a command may take in all, every attempt and pause counted. Less than the 60 for which Telnyx
            remembers a `command_id`.
        attempts: How often a command is sent at most.
        first_timeout: After which the first answer is given up; doubles with each attempt.
        first_pause: Before the second attempt; doubles with each attempt.
        longest_pause: Where that doubling ends.
    """

    timeout: float = 10.0
    attempts: int = 4
    first_timeout: float = 0.5
    first_pause: float = 0.2
    longest_pause: float = 5.0

    def patience(self, attempt: int) -> float:
        """How long to wait for the answer of an attempt, counted from 1."""
        return min(self.first_timeout * 2.0 ** (attempt - 1), self.timeout)

    def pause(self, attempt: int, *, chance: float, at_least: float = 0.0) -> float:
        """The pause after an attempt that failed.

        Args:
            attempt: Its number, from 1.
            chance: From 0 to 1; moves the pause by up to a half, either way.
            at_least: What the answer asked for; chance may only add to it, a tenth at most.
        """
        pause = min(self.first_pause * 2.0 ** (attempt - 1), self.longest_pause)
        return max(pause * (0.5 + chance), at_least * (1.0 + 0.1 * chance))


def is_transient(status: int) -> bool:
    """Whether the same command may succeed a little later: no answer (0), 408, 429, 5xx."""
    return status in (0, 408, 429) or status >= 500


def retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """What an answer says about the time until the next attempt, in seconds; 0 where it says nothing.

    `Retry-After` has seconds or a date; else `x-ratelimit-reset` has the seconds until the limit is gone, where
    `x-ratelimit-remaining` is 0.

    Args:
        headers: Those of the answer, found by their names in any case, as aiohttp has them.
        now: Unix time, for the form with a date.
    """
    text = headers.get("Retry-After", "").strip()
    if text:
        seconds = _seconds(text)
        return _until(text, now) if seconds is None else seconds
    if _seconds(headers.get("x-ratelimit-remaining", "")) == 0:
        return _seconds(headers.get("x-ratelimit-reset", "")) or 0.0
    return 0.0


def _seconds(text: str) -> float | None:
    text = text.strip()
    return float(text) if len(text) <= 9 and text.isascii() and text.isdigit() else None


def _until(text: str, now: float) -> float:
    try:
        date = parsedate_to_datetime(text[:40])
    except (ValueError, IndexError):
        return 0.0
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
