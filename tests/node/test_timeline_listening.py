"""Connections heard on all interfaces of machines, also on those that come later, and on each but once."""

import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from knet.inspect.timeline.attempts import ACCEPTED, CUT, REFUSED, UNREACHABLE
from knet.inspect.timeline.listening import Listening
from knet.inspect.timeline.segments import wanted
from knet.kernel import links, namespaces, sysctl
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.kernel.packets import EVERYWHERE, OUTGOING, Ring
from knet.kernel.tap import Tap

pytestmark = pytest.mark.root

SERVER, NOBODY = "192.0.2.2", "198.51.100.9"


@pytest.fixture
def machines() -> Iterator[tuple[Namespaces, Namespaces]]:
    """A client, which has a bridge, and a server, not yet connected."""
    client, server = namespaces.create("net"), namespaces.create("net")
    ip(client, "link add br0 type bridge", "addr add 192.0.2.1/24 dev br0", "link set br0 up")
    yield client, server
    client.close()
    server.close()


def ip(space: Namespaces, *commands: str) -> None:
    run_in(space, lambda: subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True))


def plug(client: Namespaces, server: Namespaces) -> None:
    with Netlink(client.fds["net"]) as netlink:
        ends = links.VethEnd("a", mac="02:00:00:00:00:0a"), links.VethEnd("b", netns=server.fds["net"])
        netlink.send(links.create_veth(*ends))
    ip(client, "link set dev a master br0 up", f"route add {NOBODY} via {SERVER}")
    ip(server, f"addr add {SERVER}/24 dev b", "link set dev b up", "link set lo up", f"route add unreachable {NOBODY}")
    run_in(server, lambda: sysctl.ensure("net.ipv4.ip_forward", 1))


def connect(client: Namespaces, address: str, port: int) -> None:
    def body() -> None:
        with socket.socket() as sock:
            sock.settimeout(10)
            sock.connect_ex((address, port))

    run_in(client, body)


def listener(server: Namespaces) -> socket.socket:
    return run_in(server, lambda: socket.create_server((SERVER, 80)))


def test_connections_over_a_cable_that_is_plugged_in_meanwhile(machines: tuple[Namespaces, Namespaces]) -> None:
    client, server = machines
    listening = Listening({"client": client.fds["net"], "server": server.fds["net"]})
    plug(client, server)
    with listener(server):
        for address, port in ((SERVER, 80), (SERVER, 81), (NOBODY, 80)):
            connect(client, address, port)
        listening.close()
    found = listening.attempts
    assert [(row.machine, row.sent_to.port, row.outcome(row.at)) for row in found] == [
        ("client", 80, ACCEPTED),
        ("client", 81, REFUSED),
        ("client", 80, UNREACHABLE),
    ]
    assert found[0].closed > found[0].answered > found[0].at
    assert not listening.gaps


def test_a_connection_that_is_reset_by_the_server_was_cut(machines: tuple[Namespaces, Namespaces]) -> None:
    client, server = machines
    plug(client, server)
    listening = Listening({"server": server.fds["net"]})
    with listener(server) as sock:
        peer = run_in(client, lambda: socket.create_connection((SERVER, 80)))
        accepted, _ = sock.accept()
        peer.send(b"a question that is never read")
        accepted.recv(1)
        accepted.close()  # with unread data: a reset
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
        listening.close()
        peer.close()
    assert [row.outcome(row.at) for row in listening.attempts] == [CUT]


def test_datagrams_to_the_ports_that_are_asked_for(machines: tuple[Namespaces, Namespaces]) -> None:
    client, server = machines
    plug(client, server)
    listening = Listening({"client": client.fds["net"]}, {53})
    with run_in(client, lambda: socket.socket(type=socket.SOCK_DGRAM)) as sock:
        for port in (53, 54, 53):
            sock.sendto(b"a question", (SERVER, port))
        listening.close()
    assert [(row.sent_to.port, row.outcome(row.at)) for row in listening.attempts] == [(53, UNREACHABLE)]


def test_bridges_are_not_heard_beside_their_ports(machines: tuple[Namespaces, Namespaces]) -> None:
    client, server = machines
    plug(client, server)
    with Netlink(client.fds["net"]) as netlink:
        bridge = links.get(netlink, "br0").index
    without = {"all": (), "ports": (bridge,)}
    rings = {name: Ring(EVERYWHERE, client.fds["net"], wanted(bridges)) for name, bridges in without.items()}
    with Tap(rings) as tap, listener(server):
        connect(client, SERVER, 81)
        seen = [row.place for row in tap.finish(time.time_ns()) if row.packet.kind == OUTGOING]
    assert sorted(seen) == ["all", "all", "ports"]
