"""What a check has found."""

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

__all__ = ["Finding", "Health", "failed", "ok", "skipped", "warning"]

Health: TypeAlias = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; holds no secret.

    Attributes:
        check: What was looked at.
        health: `warning` is what works and may surprise; `skipped` could not be looked at.
        found: What was seen.
        remedy: What to do about it; empty where nothing is to be done.
    """

    check: str
    health: Health
    found: str
    remedy: str = ""

    def describe(self) -> dict[str, str]:
        """JSON-ready values."""
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """It works, and may surprise."""
    return Finding(check, "warning", found, remedy)


def failed(check: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check, "failed", found, remedy)


def skipped(check: str, found: str, remedy: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(check, "skipped", found, remedy)
