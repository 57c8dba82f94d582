"""Rings and taps on real interfaces: a cable between two namespaces, frames sent by hand."""

import errno
import socket
import time
from collections.abc import Iterator

import pytest

from knet.kernel import bpf, links, namespaces
from knet.kernel.links import VethEnd
from knet.kernel.namespaces import Namespaces, run_in
from knet.kernel.netlink import Netlink
from knet.kernel.packets import BLOCK, BROADCAST, OUTGOING, TO_OTHERS, TO_US, Ring
from knet.kernel.tap import Tap

pytestmark = pytest.mark.root

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
#: nobody else sends it; IEEE 802's for experiments
ETHERTYPE = b"\x88\xb5"
ALL = bpf.program("ether proto 0x88b5")
WAIT = 1.0


@pytest.fixture
def ends() -> Iterator[tuple[Namespaces, Namespaces]]:
    """Two namespaces, ``a`` in one and ``b`` in the other."""
    one, two = namespaces.create("net"), namespaces.create("net")
    with Netlink(one.fds["net"]) as netlink, Netlink(two.fds["net"]) as other:
        netlink.send(links.create_veth(VethEnd("a", mac=A), VethEnd("b", netns=two.fds["net"], mac=B)))
        netlink.send(links.change("a", up=True))
        other.send(links.change("b", up=True))
    yield one, two
    one.close()
    two.close()


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def send(space: Namespaces, interface: str, destination: str, *bodies: bytes) -> None:
    def body() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((interface, 0))
            for content in bodies:
                raw.send(mac(destination) + mac(A) + ETHERTYPE + content)

    run_in(space, body)


def rings(ends: tuple[Namespaces, Namespaces], **options: int) -> dict[str, Ring]:
    return {name: Ring(name, space.fds["net"], ALL, **options) for name, space in zip("ab", ends, strict=True)}


def test_packets_come_in_order_of_time_with_what_the_kernel_says_of_them(ends):
    begin = time.time_ns()
    with Tap(rings(ends)) as tap:
        send(ends[0], "a", B, b"first")
        send(ends[0], "a", "ff:ff:ff:ff:ff:ff", b"second")
        send(ends[0], "a", "02:00:00:00:00:0c", b"third")
        end = time.time_ns()
        found = tap.finish(end)
        assert not any(tap.lost.values())
    assert [(row.place, row.kind, row.data[14:]) for row in found] == [
        ("a", OUTGOING, b"first"),
        ("b", TO_US, b"first"),
        ("a", OUTGOING, b"second"),
        ("b", BROADCAST, b"second"),
        ("a", OUTGOING, b"third"),
        ("b", TO_OTHERS, b"third"),
    ]
    times = [begin, *(row.time for row in found), end]
    assert times == sorted(times)


def test_settled_packets_come_while_it_goes_on(ends):
    with Tap(rings(ends)) as tap:
        send(ends[0], "a", B, b"now")
        found: list[str] = []
        while len(found) < 2:
            found += [row.place for row in tap.read(WAIT)]
        assert found == ["a", "b"]


def test_of_a_packet_as_much_is_taken_as_was_asked_for(ends):
    program = bpf.program("ether proto 0x88b5", length=20)
    with Tap({"b": Ring("b", ends[1].fds["net"], program)}) as tap:
        send(ends[0], "a", B, b"twenty bytes are less")
        [row] = tap.finish(time.time_ns())
    assert (row.length, row.data[14:]) == (14 + 21, b"twenty")


def test_what_the_ring_has_no_room_for_is_counted(ends):
    with Tap(rings(ends, memory=2 * BLOCK)) as tap:
        send(ends[0], "a", B, *(b"x" * 1400 for _ in range(1000)))
        found = tap.finish(time.time_ns())
        lost = tap.lost
    assert lost["a"] > 0 and lost["b"] > 0
    assert len(found) + sum(lost.values()) == 2000


def test_an_interface_that_goes_down_comes_back_and_one_that_is_deleted_ends(ends):
    with Netlink(ends[1].fds["net"]) as netlink, Tap(rings(ends)) as tap:
        netlink.send(links.change("b", up=False))
        tap.read(WAIT)
        assert list(tap.open) == ["a", "b"]
        netlink.send(links.change("b", up=True))
        found = []
        while not found:  # the kernel uses an interface some time after its carrier has returned
            send(ends[0], "a", B, b"again")
            found = tap.finish(time.time_ns())
        assert {row.place for row in found} == {"a", "b"}
        links.remove(netlink, "b")
        while tap.open:
            tap.read(WAIT)


def test_no_interface_no_ring(ends):
    with pytest.raises(OSError) as refusal:
        Ring("eth9", ends[0].fds["net"], ALL)
    assert refusal.value.errno == errno.ENODEV
