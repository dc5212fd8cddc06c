"""Ports for a stack's processes."""

import socket

from batchscribe.local.plan import free_ports

OUTGOING_FROM = 32_768  # Linux's default; elsewhere they begin later.


def test_a_port_is_not_one_that_an_outgoing_connection_may_take() -> None:
    """Otherwise it could be gone before its process listens there."""
    ports = free_ports(100)
    assert len(set(ports)) == 100
    assert max(ports) < OUTGOING_FROM


def test_a_port_that_is_taken_is_not_free() -> None:
    """Somebody listens there; once nobody does it is."""
    (port,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert port not in free_ports(100_000)
    assert port in free_ports(100_000)
