"""Packets become connections by what machines track of them, with names and rates; links' counters become rates."""

import struct

import pytest
from inspect_cluster import NODES, PODS, SERVICES

from knet.inspect.flows.connections import Rates, flows
from knet.inspect.flows.sample import Count, Ends, Sample, ends, read
from knet.inspect.flows.text import rate, row
from knet.inspect.names import Names
from knet.inspect.top import link_rates
from knet.kernel.conntrack import Flow as Tuple
from knet.kernel.conntrack import Tracked
from knet.underlay.state import LinkState, Sending

TCP, UDP, ICMP = 6, 17, 1
CLIENT, WEB, VIP, N1 = "10.244.1.3", "10.244.2.2", "10.96.0.80", "172.18.0.3"


@pytest.fixture
def names():
    found = Names()
    found.know(PODS, NODES, SERVICES)
    return found


def tracked(source, port, to, to_port, by="", by_port=0, under="", under_port=0, protocol=TCP, **more):
    """A connection to ``to``, which ``by`` answers, to ``under``."""
    flow = Tuple(protocol, source, port, to, to_port, by or to, by_port or to_port)
    return Tracked(flow, under or source, under_port or port, **more)


def sampled(*rows, seconds=2.0):
    """Rows of place, protocol, source and destination with ports, and how many packets of 100 bytes."""
    found = Sample(seconds)
    for place, protocol, source, source_port, to, to_port, packets in rows:
        found.counts[place, Ends(protocol, source, source_port, to, to_port)] = Count(packets, 100 * packets)
    return found


#: of a pod's call of a Service with a pod on another machine, what both pods see
CALL = [
    ("pod/client/eth0", TCP, CLIENT, 40000, VIP, 80, 10),
    ("pod/client/eth0", TCP, VIP, 80, CLIENT, 40000, 8),
    ("pod/web/eth0", TCP, CLIENT, 40000, WEB, 8080, 10),
    ("pod/web/eth0", TCP, WEB, 8080, CLIENT, 40000, 7),
]
BOTH = [
    tracked(CLIENT, 40000, VIP, 80, WEB, 8080, state="ESTABLISHED", replied=True),
    tracked(CLIENT, 40000, WEB, 8080, state="ESTABLISHED", replied=True),
]


@pytest.mark.parametrize("order", [1, -1])
def test_a_call_of_a_service_is_one_flow_wherever_it_is_seen(names, order):
    [found] = flows(sampled(*CALL[::order]), BOTH[::order], names)
    assert (found.sent, found.answered) == (Rates(5, 4000), Rates(4, 3200))
    told = ("default/client:40000", "svc/default/web:80", "default/web-1", "tcp/8080", "ESTABLISHED", "1")
    assert row(found) == (*told, "5 / 4", "4 k / 3.2 k")
    assert found.json()["sent"] == {"packetsPerSecond": 5.0, "bitsPerSecond": 4000}


def test_behind_masquerading_the_sender_is_who_began_it(names):
    """A machine's own call: each machine sees other addresses."""
    book = [
        tracked(N1, 40000, VIP, 80, WEB, 8080, under="10.244.1.0", under_port=5123, state="ESTABLISHED"),
        tracked("10.244.1.0", 5123, WEB, 8080, state="ESTABLISHED"),
    ]
    seen = sampled(
        ("n2/cni0", TCP, "10.244.1.0", 5123, WEB, 8080, 2), ("n2/cni0", TCP, WEB, 8080, "10.244.1.0", 5123, 1)
    )
    [found] = flows(seen, book, names)
    assert row(found)[:4] == ("n1:40000", "svc/default/web:80", "default/web-1", "tcp/8080")
    assert (found.sent.packets, found.answered.packets) == (1, 0.5)


def test_flows_between_the_same_two_are_summed_unless_each_is_wanted(names):
    ports = range(40000, 40003)
    book = [tracked(CLIENT, port, WEB, 80, state="TIME_WAIT" if port % 2 else "ESTABLISHED") for port in ports]
    seen = sampled(*(("n1/cni0", TCP, CLIENT, port, WEB, 80, 2) for port in ports))
    [found] = flows(seen, book, names)
    told = ("default/client", "", "default/web-1", "tcp/80", "2 ESTABLISHED, 1 TIME_WAIT", "3")
    assert row(found) == (*told, "3 / 0", "2.4 k / 0")
    assert [row(flow)[0] for flow in flows(seen, book, names, each=True)] == [
        f"default/client:{port}" for port in ports
    ]


#: (what is seen of one direction, what is tracked) → who is told to have begun it
BEGUN = {
    "the higher port": ((TCP, WEB, 80, CLIENT, 40000), [], "default/client:40000"),
    "tracked from the middle on": (
        (TCP, WEB, 80, CLIENT, 40000),
        [tracked(WEB, 80, CLIENT, 40000)],
        "default/client:40000",
    ),
    "tracked, whatever the ports": (
        (TCP, WEB, 50000, CLIENT, 45000),
        [tracked(CLIENT, 45000, WEB, 50000)],
        "default/client:45000",
    ),
    "an echo": ((ICMP, CLIENT, 0, WEB, 0), [tracked(CLIENT, 77, WEB, 77, protocol=ICMP)], "default/client"),
    "its reply": ((ICMP, WEB, 0, CLIENT, 0), [tracked(CLIENT, 77, WEB, 77, protocol=ICMP)], "default/client"),
}


@pytest.mark.parametrize("case", BEGUN)
def test_who_began_it(names, case):
    seen, book, source = BEGUN[case]
    [found] = flows(sampled(("n1/cni0", *seen, 1)), book, names)
    assert row(found)[0] == source


def test_what_nobody_answers_is_told(names):
    book = [tracked(CLIENT, 40000, VIP, 53, WEB, 53, protocol=UDP)]
    [found] = flows(sampled(("n1/cni0", UDP, CLIENT, 40000, VIP, 53, 1)), book, names)
    assert (found.state, row(found)[3]) == ("unanswered", "udp/53")


# ---- frames --------------------------------------------------------------------------------------------------------

ETHERNET = bytes(12)
PORTS = struct.pack(">HH", 40000, 80)
V4 = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
V6 = bytes([0x60, 0, 0, 0, 0, 20, UDP, 64]) + bytes(15) + b"\1" + bytes(15) + b"\2"
FRAMES = {
    "IPv4": (b"\x08\x00" + V4 + PORTS, Ends(TCP, "10.0.0.1", 40000, "10.0.0.2", 80)),
    "with options": (b"\x08\x00\x46" + V4[1:] + bytes(4) + PORTS, Ends(TCP, "10.0.0.1", 40000, "10.0.0.2", 80)),
    "a later fragment": (b"\x08\x00" + V4[:6] + b"\x00\x10" + V4[8:] + PORTS, Ends(TCP, "10.0.0.1", 0, "10.0.0.2", 0)),
    "ICMP": (b"\x08\x00" + V4[:9] + b"\x01" + V4[10:] + PORTS, Ends(ICMP, "10.0.0.1", 0, "10.0.0.2", 0)),
    "IPv6": (b"\x86\xdd" + V6 + PORTS, Ends(UDP, "::1", 40000, "::2", 80)),
    "ARP": (b"\x08\x06" + bytes(28), None),
    "cut short": (b"\x08\x00" + V4 + PORTS[:2], None),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_between_whom_a_frame_is(kind):
    frame, expected = FRAMES[kind]
    assert read(ends(ETHERNET + frame)) == expected


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (0.25, "0.25"), (999, "999"), (1000, "1 k"), (2.5e6, "2.5 M")],
)
def test_rates_in_words(number, words):
    assert rate(number) == words


# ---- links ---------------------------------------------------------------------------------------------------------


def cable(packets, dropped=0, waiting=0, **options):
    there = Sending("n1", "n1-eth0", options, "10 Mbit/s", packets, 1000 * packets, dropped, waiting)
    return LinkState((there, Sending("s1", "s1-eth1")), "up", 1500, True)


def test_links_rates_follow_from_two_looks():
    there, back = link_rates([cable(100)], [cable(600, dropped=10, waiting=3, bw=10.0)], 2.0)
    assert (there.name, there.packets, there.bits, there.dropped, there.waiting) == ("n1 → s1", 250, 2e6, 5, 3)
    assert (there.used, back.used, back.name, back.bits) == (0.2, None, "s1 → n1", 0)
    assert there.json()["used"] == 0.2


def test_a_machine_that_was_booted_counts_from_nothing():
    there, _ = link_rates([cable(600)], [cable(100)], 1.0)
    assert there.packets == 0
    assert link_rates([], [cable(100)], 1.0)[0].packets == 100
