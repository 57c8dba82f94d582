"""Tracked connections of a real kernel, looked up and forgotten."""

import socket
import subprocess
from collections.abc import Callable

import pytest

from knet.kernel import links, namespaces
from knet.kernel.conntrack import Conntrack, Flow
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink

pytestmark = pytest.mark.root

HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def in_namespace(body: Callable[[], None]) -> None:
    """Run ``body`` where nobody else's connections are, and new ones are tracked."""
    space = namespaces.create("net")
    try:
        with Netlink(space.fds["net"]) as netlink:
            netlink.send(links.change("lo", up=True))
        for program in ("iptables", "ip6tables"):
            track = [program, "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT"]
            run_in(space, lambda track=track: subprocess.run(track, check=True))
        run_in(space, body)
    finally:
        space.close()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_flows_are_found_by_where_they_were_opened_to_and_forgotten_one_by_one(family: int):
    def body() -> None:
        address = HERE[family]
        with Conntrack() as conntrack, socket.socket(family, socket.SOCK_DGRAM) as server:
            server.bind((address, 0))
            port = server.getsockname()[1]
            clients = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(3)]
            for client in clients:
                client.sendto(b"?", (address, port))
            client.sendto(b"?", (address, clients[0].getsockname()[1]))
            expected = {
                Flow(socket.IPPROTO_UDP, address, client.getsockname()[1], address, port, address, port)
                for client in clients
            }
            found = conntrack.flows_to(socket.IPPROTO_UDP, address, port)
            assert set(found) == expected
            assert conntrack.flows_to(socket.IPPROTO_TCP, address, port) == []
            assert conntrack.delete(found[0])
            assert not conntrack.delete(found[0])
            assert set(conntrack.flows_to(socket.IPPROTO_UDP, address, port)) == expected - {found[0]}
            for client in clients:
                client.close()

    in_namespace(body)
