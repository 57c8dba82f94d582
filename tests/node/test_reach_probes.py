"""Probes between real network namespaces: what arrives, what is refused by whom, and what is dropped where."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from knet.api.families import IPV4, IPV6
from knet.inspect.reach.probes import PROTOCOLS
from knet.inspect.reach.rounds import Observation, Probe, observe
from knet.inspect.reach.stations import Station
from knet.kernel import namespaces
from knet.kernel.links import VethEnd, create_veth
from knet.kernel.namespaces import Namespaces, entered, run_in
from knet.kernel.netlink import Netlink
from knet.underlay.carrier import wait_until_operational

pytestmark = pytest.mark.root

ADDRESSES = {IPV4: ("10.9.0.1", "10.9.0.2"), IPV6: ("fd09::1", "fd09::2")}
FILTER = "add table inet t; add chain inet t in {{ type filter hook input priority 0; }}; add rule inet t in {}"


def ip(netns: Namespaces, *lines: str) -> None:
    run_in(netns, lambda: subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True))


def nft(netns: Namespaces, text: str) -> None:
    run_in(netns, lambda: subprocess.run(["nft", text], check=True))


@pytest.fixture(scope="module")
def cable() -> Iterator[tuple[Namespaces, Namespaces]]:
    """Two machines on a cable, with both families."""
    one, other = namespaces.create("net"), namespaces.create("net")
    with ExitStack() as stack:
        for held in (one, other):
            stack.callback(held.close)
        with Netlink(one.fds["net"]) as netlink:
            netlink.send(create_veth(VethEnd("e0"), VethEnd("e0", netns=other.fds["net"])))
        for number, held in enumerate((one, other)):
            rows = [
                f"addr add {row[number]}/{24 if family == IPV4 else '64 nodad'} dev e0"
                for family, row in ADDRESSES.items()
            ]
            ip(held, *rows, "link set e0 up")
        for held in (one, other):
            wait_until_operational(held.fds["net"], ["e0"])
        yield one, other


@pytest.fixture
def two(cable: tuple[Namespaces, Namespaces]) -> tuple[Namespaces, Namespaces]:
    """The same, without rules."""
    nft(cable[1], "flush ruleset")
    return cable


def listen(at: Namespaces, kind: socket.SocketKind, port: int) -> socket.socket:
    with entered(at.only("net")):
        server = socket.socket(socket.AF_INET6, kind)
    server.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.setblocking(False)
    return server


def tried(
    two: tuple[Namespaces, Namespaces], protocol: str, family: str, *ports: int, to: str = ""
) -> list[Observation[int]]:
    """What becomes of probes from the first machine to these ports of the second."""
    ours = 0x12300000
    with ExitStack() as stack:
        stations = {
            number: stack.enter_context(Station(held.fds["net"], PROTOCOLS[protocol], family, ours))
            for number, held in enumerate(two)
        }
        probes = [Probe(0, to or ADDRESSES[family][1], port) for port in ports]
        return observe(stations, probes, one_way=protocol == "udp")


@pytest.mark.parametrize("family", ADDRESSES)
def test_a_listener_is_not_disturbed_and_whoever_has_none_refuses(
    two: tuple[Namespaces, Namespaces], family: str
) -> None:
    with listen(two[1], socket.SOCK_STREAM, 80) as server:
        answered, refused = tried(two, "tcp", family, 80, 81)
        assert (answered.reached, str(answered)) == (True, "answered")
        assert answered.arrived == {1: ADDRESSES[family][0]}
        assert (refused.reached, str(refused)) == (True, "it arrived, nobody listens there")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("family", ADDRESSES)
def test_datagrams_and_echoes_arrive(two: tuple[Namespaces, Namespaces], family: str) -> None:
    with listen(two[1], socket.SOCK_DGRAM, 53):
        silent, refused = tried(two, "udp", family, 53, 54)
        assert (silent.reached, str(silent)) == (True, f"it arrived, as {ADDRESSES[family][0]}")
        assert (refused.reached, refused.arrived) == (True, {1: ADDRESSES[family][0]})
    [echo] = tried(two, "icmp", family, 0)
    assert (echo.reached, str(echo)) == (True, "answered")


@pytest.mark.parametrize("family", ADDRESSES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_filter_does_is_told_apart(two: tuple[Namespaces, Namespaces], protocol: str, family: str) -> None:
    nft(two[1], FILTER.format(f"meta l4proto {{ {protocol}, {'ipv6-icmp' if protocol == 'icmp' else protocol} }} drop"))
    [dropped] = tried(two, protocol, family, 80)
    assert (dropped.reached, str(dropped)) == (False, "dropped: nothing arrived (2 tries)")


def test_a_probe_leaves_under_the_address_that_its_route_tells(two: tuple[Namespaces, Namespaces]) -> None:
    for number, held in enumerate(two, 1):
        ip(held, f"addr replace 10.10.0.{number}/24 dev e0")
    for to, source in (("10.9.0.2", "10.9.0.1"), ("10.10.0.2", "10.10.0.1")):
        first, second = tried(two, "tcp", IPV4, 80, to=to) + tried(two, "tcp", IPV4, 80, to=ADDRESSES[IPV4][1])
        assert (first.reached, second.reached, first.arrived) == (True, True, {1: source})


def test_a_reset_or_a_message_in_somebodys_name_is_no_arrival(two: tuple[Namespaces, Namespaces]) -> None:
    nft(two[1], FILTER.format("tcp dport 80 reject with tcp reset"))
    nft(two[1], "add rule inet t in tcp dport 81 reject with icmpx type admin-prohibited")
    reset, prohibited = tried(two, "tcp", IPV4, 80, 81)
    assert (reset.reached, str(reset)) == (False, "reset on the way, in the name of 10.9.0.2")
    assert (prohibited.reached, str(prohibited)) == (False, "10.9.0.2 says: administratively prohibited")


def test_answers_that_get_lost_and_probes_that_cannot_leave(two: tuple[Namespaces, Namespaces]) -> None:
    nft(two[1], FILTER.format("accept") + "; add chain inet t out { type filter hook output priority 0; policy drop; }")
    [lost] = tried(two, "tcp", IPV4, 80)
    assert (lost.reached, str(lost)) == (False, "it arrived, as 10.9.0.1, but no answer came back")
    [stuck] = tried(two, "tcp", IPV4, 80, to="10.8.0.1")
    assert (stuck.reached, str(stuck)) == (False, "it could not leave: Network is unreachable")
