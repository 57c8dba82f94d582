"""Tracked connections of a real kernel, looked up and forgotten."""

import socket
import subprocess
from collections.abc import Callable

import pytest

from knet.kernel import links, namespaces, sysctl
from knet.kernel.conntrack import Conntrack, ConntrackEvents, Event, Flow
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


def test_the_whole_table_is_listed_with_states_translations_and_counters():
    def body() -> None:
        sysctl.ensure("net.netfilter.nf_conntrack_acct", 1)
        dnat = "-A OUTPUT -p tcp -d 192.0.2.9 --dport 80 -j DNAT --to-destination 127.0.0.1"
        snat = "-A POSTROUTING -p tcp -d 127.0.0.1 --dport 8080 -j SNAT --to-source 127.0.0.5"
        subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=True)
        for rule in (f"{dnat}:8080", snat):
            subprocess.run(["iptables", "-t", "nat", *rule.split()], check=True)
        with Conntrack() as conntrack, socket.create_server(("127.0.0.1", 8080)) as server:
            events = ConntrackEvents()
            client = socket.create_connection(("192.0.2.9", 80))
            peer, (address, port) = server.accept()
            assert address == "127.0.0.5"
            [row] = conntrack.tracked()
            source = client.getsockname()
            expected = Flow(socket.IPPROTO_TCP, *source, "192.0.2.9", 80, "127.0.0.1", 8080)
            assert row[:3] == (expected, "127.0.0.5", port)
            assert (row.state, row.replied, row.assured, row.dnat, row.snat) == ("ESTABLISHED", True, True, True, True)
            assert row.timeout > 3600
            assert row.sent == (2, 60 + 52)  # SYN and ACK
            assert row.answered == (1, 60)
            conntrack.delete(row.flow)
            found: list[Event] = []
            while not found or found[-1].what != "destroy":
                found += events.read()
            assert found[0].what == "new"
            assert {event.tracked.flow for event in found} == {expected}
            for end in (client, peer, events):
                end.close()

    in_namespace(body)


def test_an_echo_is_told_by_its_identifier():
    def body() -> None:
        subprocess.run(["ping", "-c1", "-e", "7", "127.0.0.1"], check=True, capture_output=True)
        with Conntrack() as conntrack:
            [row] = conntrack.tracked()
        assert row.flow == Flow(socket.IPPROTO_ICMP, "127.0.0.1", 7, "127.0.0.1", 7, "127.0.0.1", 7)
        assert not row.dnat
        assert not row.snat

    in_namespace(body)
