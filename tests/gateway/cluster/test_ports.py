import socket

import pytest

from gateway.cluster.ports import reserved
from gateway.config import Address


def test_who_shares_the_port_gets_all_connections() -> None:
    with reserved(Address("127.0.0.1", 0)) as address:
        assert address.host == "127.0.0.1"
        assert address.port
        for _ in range(2):  # a worker that starts again
            with (
                socket.create_server((address.host, address.port), reuse_port=True) as worker,
                socket.create_connection((address.host, address.port)),
            ):
                worker.accept()[0].close()


def test_nobody_is_there_while_no_worker_is() -> None:
    with reserved(Address("127.0.0.1", 0)) as address, pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))


def test_a_port_on_which_another_gateway_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        address = Address(*other.getsockname())
        with pytest.raises(OSError, match=f"in use: {address}"), reserved(address):
            pass


@pytest.mark.parametrize("host", ["localhost", "::1"])
def test_every_address_of_a_name_has_the_same_number(host: str) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with reserved(Address(host, 0)) as address:
        socket.create_server(("::1", address.port), family=socket.AF_INET6, reuse_port=True).close()
