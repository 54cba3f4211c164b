"""What Telnyx's portal would hold: the key, the applications, where their webhooks go, and the limits."""

from dataclasses import dataclass, field
from typing import Final

from gateway.simulator.limits import RateLimit
from gateway.simulator.routing import Route
from gateway.simulator.switches import Switches

__all__ = ["DEFAULT_CONNECTION", "Account"]

DEFAULT_CONNECTION: Final = "1684641123236054244"
"""The application that calls come in for which name none."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account.

    Attributes:
        api_key: What `/v2` wants; None takes any key that is not empty.
        connections: Ids of its Call Control applications; None takes every id of decimal digits.
        route: Where webhooks go that no command sends elsewhere.
        max_calls: Legs at a time.
        keep_ended: How many ended ones can still be looked at. One that lasted an hour holds about 120 MB of sound.
        answer_timeout: Seconds until an unanswered incoming call ends.
        requests: How many requests `/v2` takes; how many Telnyx takes is not documented.
        dials: How many calls may be placed; 30 a second over five seconds is documented.
        switches: The open points.
    """

    api_key: str | None = None
    connections: frozenset[str] | None = None
    route: Route = field(default_factory=Route)
    max_calls: int = 100
    keep_ended: int = 50
    answer_timeout: float = 30.0
    requests: RateLimit = field(default_factory=lambda: RateLimit(1000, 1.0))
    dials: RateLimit = field(default_factory=lambda: RateLimit(150, 5.0))
    switches: Switches = field(default_factory=Switches)

    def has_connection(self, connection_id: str) -> bool:
        """Whether the account has this application."""
        if self.connections is not None:
            return connection_id in self.connections
        return connection_id.isascii() and connection_id.isdigit()
