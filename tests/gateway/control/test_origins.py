import pytest

from gateway.control.origins import TELNYX_NETWORKS, Origins, parse_networks
from gateway.errors import ConfigError

TELNYX = "192.76.120.130"


def origins(*allowed: str, proxies: tuple[str, ...] = ()) -> Origins:
    return Origins(parse_networks(allowed), parse_networks(proxies))


@pytest.mark.parametrize(
    ("remote", "permitted"),
    [
        ("192.0.2.1", True),
        ("192.0.2.200", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("::ffff:192.0.2.1", True),  # IPv4 on a socket for both
        ("::ffff:192.0.2.200", False),
        ("fe80::1%eth0", True),
        (None, False),
        ("", False),
        ("unix:", False),
    ],
)
def test_a_list_of_networks_of_either_kind_decides(remote: str | None, *, permitted: bool) -> None:
    assert origins("192.0.2.0/25", "2001:db8::/64", "fe80::1").permits(remote) is permitted


def test_telnyx_stands_for_what_telnyx_publishes() -> None:
    assert [str(network) for network in parse_networks(["telnyx", "127.0.0.1"])] == [*TELNYX_NETWORKS, "127.0.0.1/32"]
    assert origins("telnyx").permits(TELNYX)
    assert not origins("telnyx").permits("192.76.120.1")


@pytest.mark.parametrize("text", ["telnyxx", "192.0.2.1/24", "192.0.2.0/33", "", "::/129", "example.test"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"'{text}' is no network: "):
        parse_networks([text])


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "permitted"),
    [
        ("10.0.0.1", [TELNYX], True),
        ("10.0.0.1", [f"6.6.6.6, {TELNYX}"], True),  # whatever stood there when it came in
        ("10.0.0.1", [f"{TELNYX}, 6.6.6.6"], False),  # made up by 6.6.6.6
        ("10.0.0.1", [TELNYX, "10.0.0.2"], True),  # two proxies, two headers
        ("10.0.0.1", [f"{TELNYX},10.0.0.2 , 10.0.0.3"], True),
        ("10.0.0.1", [TELNYX, "6.6.6.6"], False),
        ("10.0.0.1", [], False),
        ("10.0.0.1", [""], False),
        ("10.0.0.1", ["10.0.0.2"], False),  # it began at a proxy
        ("10.0.0.1", [f"{TELNYX}, nonsense"], False),
        ("10.0.0.1", [TELNYX + ":4711"], False),
        ("6.6.6.6", [TELNYX], False),  # no proxy of ours
        (TELNYX, ["6.6.6.6"], True),  # came directly; the header is nobody's business
    ],
)
def test_behind_a_proxy_the_nearest_hop_that_is_not_trusted_decides(
    remote: str, forwarded_for: list[str], *, permitted: bool
) -> None:
    assert origins("telnyx", proxies=("10.0.0.0/24",)).permits(remote, forwarded_for) is permitted


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert not origins("telnyx").permits("10.0.0.1", [TELNYX])


def test_many_made_up_headers_take_no_room() -> None:
    one = origins("telnyx", proxies=("10.0.0.1",))
    for number in range(5000):
        assert not one.permits("10.0.0.1", [f"6.6.{number // 256}.{number % 256}"])
    assert one._permits.cache_info().currsize <= 1024
