"""Which addresses may deliver webhooks: an allow list, and what to believe of proxies.

The signature is what makes a webhook trusted. A list keeps the rest of the world from even having one checked.

Pure. Behind a proxy every connection comes from the proxy, and what it says of its client is believed only if it is
one of those that were named: the nearest hop is the connection's own address, the hops before it stand in
`X-Forwarded-For`, oldest first, and the first from the right that is no trusted proxy is the origin. Whatever stands
further left may be made up.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from gateway.errors import ConfigError

__all__ = ["TELNYX_NETWORKS", "Origins", "parse_networks"]

_Network: TypeAlias = IPv4Network | IPv6Network

TELNYX_NETWORKS: Final = (
    "192.76.120.128/29",
    "192.76.120.136/29",
    "192.76.120.144/29",
    "185.246.41.0/29",
    "185.246.41.8/29",
    "185.246.41.16/29",
    "103.115.244.0/29",
    "103.115.244.8/29",
)
"""Where Telnyx's webhooks come from: Telnyx, "IP Whitelisting", as of April 2026; no IPv6 network is published."""


def parse_networks(texts: Sequence[str]) -> tuple[_Network, ...]:
    """Read addresses and networks; the word `telnyx` stands for `TELNYX_NETWORKS`.

    Raises:
        ConfigError: One is neither, or has bits beyond its mask.
    """
    networks: list[_Network] = []
    for text in texts:
        try:
            networks += [ip_network(part) for part in (TELNYX_NETWORKS if text == "telnyx" else (text,))]
        except ValueError as error:
            raise ConfigError(f"{text!r} is no network: {error}") from error
    return tuple(networks)


class Origins:
    """Decides over the origin of a request.

    Args:
        allowed: Where requests may come from.
        proxies: Whose `X-Forwarded-For` is believed.
    """

    def __init__(self, allowed: Sequence[_Network], proxies: Sequence[_Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._proxies = tuple(proxies)
        self._permits = lru_cache(maxsize=1024)(self._decide)

    def permits(self, remote: str | None, forwarded_for: Sequence[str] = ()) -> bool:
        """Whether a request may come in.

        Args:
            remote: The connection's own address.
            forwarded_for: The values of the `X-Forwarded-For` headers, in their order.
        """
        return self._permits(remote or "", ",".join(forwarded_for))

    def _decide(self, remote: str, forwarded_for: str) -> bool:
        hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
        origin = _address(remote)
        while hops and origin is not None and _within(origin, self._proxies):
            origin = _address(hops.pop())
        return origin is not None and _within(origin, self._allowed)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; one of IPv4 that is written in IPv6 is taken for what it is."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _within(address: IPv4Address | IPv6Address, networks: Sequence[_Network]) -> bool:
    return any(address in network for network in networks)
