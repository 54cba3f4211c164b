"""Where a call's webhooks go, and how often: from the settings of an application to what a command says otherwise.

A command's `webhook_url` takes the place of the application's for the rest of the call, and so do its
`webhook_urls` and `webhook_retries_policies` for the events they name. The failover URL stands in where the first
URL failed twice in a row; it belongs to the application's own URL only.

Source: Telnyx, "Voice API Webhooks", and the descriptions in its Python package 4.189.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway.protocol.commands.options import WebhookOptions
from gateway.protocol.events import EVENTS
from gateway.simulator.envelope import ApiVersion
from gateway.simulator.refusal import Refusal

__all__ = ["Route", "Target"]

_ATTEMPTS_BEFORE_FAILOVER: Final = 2

Method: TypeAlias = Literal["POST", "GET"]


class Target(NamedTuple):
    """One way to one listener: what to call, and how often.

    Attributes:
        failover_url: What is called when `url` has failed twice; None for the same one again.
        retry_delays: Seconds before the second attempt, the third, and so on; there are no more.
    """

    url: str
    method: Method
    failover_url: str | None
    retry_delays: tuple[float, ...]

    def url_of(self, attempt: int) -> str:
        """The URL of an attempt; the first is 1."""
        late = attempt > _ATTEMPTS_BEFORE_FAILOVER
        return self.failover_url if late and self.failover_url is not None else self.url


@dataclass(frozen=True, slots=True)
class Route:
    """Where the webhooks of one call go.

    Attributes:
        url: Where every event goes that has no URL of its own; None is nowhere.
        timeout: Seconds that the application has for its answer.
        retry_delays: Of an event without a policy, in seconds.
        urls: URLs by event type; each of them is told.
        policies: Retry delays by event type, in seconds.
    """

    url: str | None = None
    method: Method = "POST"
    failover_url: str | None = None
    api_version: ApiVersion = "2"
    timeout: float = 2.0
    retry_delays: tuple[float, ...] = (0.5, 1, 2, 4, 8)
    urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    urls_method: Method = "POST"
    policies: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def by_command(self, command: WebhookOptions) -> "Route":
        """The route from now on.

        Raises:
            Refusal: 422, for an event that there is none of.
        """
        route = self
        for name in ("webhook_urls", "webhook_retries_policies"):
            for event_type in getattr(command, name) or ():
                if event_type not in EVENTS:
                    detail = f"There is no event type {event_type[:60]!r}."
                    raise Refusal(422, "90057", detail, pointer=f"/{name}")
        if command.webhook_url is not None:
            route = replace(route, url=command.webhook_url, method=command.webhook_url_method, failover_url=None)
        if command.webhook_urls is not None:
            urls = {
                event_type: (value,) if isinstance(value, str) else tuple(value)
                for event_type, value in command.webhook_urls.items()
            }
            route = replace(route, urls={**route.urls, **urls}, urls_method=command.webhook_urls_method)
        if command.webhook_retries_policies is not None:
            policies = {
                event_type: tuple(milliseconds / 1000 for milliseconds in policy.retries_ms)
                for event_type, policy in command.webhook_retries_policies.items()
                if policy.retries_ms is not None
            }
            route = replace(route, policies={**route.policies, **policies})
        return route

    def targets(self, event_type: str) -> list[Target]:
        """Who is told of an event; nobody where there is no URL."""
        delays = self.policies.get(event_type, self.retry_delays)
        if event_type in self.urls:
            return [Target(url, self.urls_method, None, delays) for url in self.urls[event_type]]
        return [] if self.url is None else [Target(self.url, self.method, self.failover_url, delays)]
