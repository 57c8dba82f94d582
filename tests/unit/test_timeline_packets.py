"""Connections from the packets of several machines, and what of them is worth a line."""

import ipaddress

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet as Frame

from knet.inspect.timeline.attempts import ACCEPTED, CUT, PATIENCE, REFUSED, UNANSWERED, UNREACHABLE, Attempt, Attempts
from knet.inspect.timeline.event import Event
from knet.inspect.timeline.facts import Facts
from knet.inspect.timeline.segments import ACK, DATAGRAM, FIN, RST, SYN, End, Segment, segment
from knet.inspect.timeline.sightings import Sightings
from knet.kernel.packets import TO_US, Packet


def end(text: str) -> End:
    address, _, port = text.rpartition(":")
    return End(ipaddress.ip_address(address.strip("[]")).packed, int(port))


CLIENT, SERVICE, WEB, NODE = "10.244.2.9:40000", "10.96.0.7:80", "10.244.1.5:8080", "10.244.2.0:40000"
NUMBER = 0xFFFFFFFF
V4, V6 = IP(src="1.1.1.1", dst="2.2.2.2"), IPv6(src="fd00::1", dst="fd00::2")
THERE = TCP(sport=40000, dport=80, seq=7, ack=9, flags="SA")


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (V4 / THERE, Segment(90, "n1", end("1.1.1.1:40000"), end("2.2.2.2:80"), SYN | ACK, 7, 9)),
        (V6 / THERE, Segment(90, "n1", end("[fd00::1]:40000"), end("[fd00::2]:80"), SYN | ACK, 7, 9)),
        (
            IP(src="3.3.3.3", dst="1.1.1.1") / ICMP(type=3, code=1) / IPerror(bytes(V4 / THERE)[:28]),
            Segment(90, "n1", end("1.1.1.1:40000"), end("2.2.2.2:80"), 0, 7, unreachable=True, by=bytes([3] * 4)),
        ),
        (
            IPv6(src="fd00::3", dst="fd00::1") / ICMPv6DestUnreach() / (V6 / THERE),
            Segment(
                90, "n1", end("[fd00::1]:40000"), end("[fd00::2]:80"), 0, 7,
                unreachable=True, by=ipaddress.ip_address("fd00::3").packed,
            ),
        ),
        (
            IP(src="3.3.3.3", dst="1.1.1.1") / ICMP(type=3) / (V4 / UDP(sport=40000, dport=53, chksum=7)),
            Segment(
                90, "n1", end("1.1.1.1:40000"), end("2.2.2.2:53"), DATAGRAM, 8 << 16 | 7,
                unreachable=True, by=bytes([3] * 4),
            ),
        ),
        (IP(src="3.3.3.3", dst="1.1.1.1") / ICMP(type=3) / (V4 / ICMP()), None),
        (ARP(), None),
    ],
)  # fmt: skip
def test_a_packet_is_read_as_far_as_it_matters(frame: Frame, found: Segment | None) -> None:
    data = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / frame)
    assert segment("n1", Packet(100, TO_US, len(data), data), 10) == found
    assert segment("n1", Packet(100, TO_US, len(data), data[:20])) is None


def test_a_datagram_is_the_same_whatever_nat_makes_of_its_addresses() -> None:
    def read(address: str, body: bytes) -> Segment:
        data = bytes(Ether() / IP(src="1.1.1.1", dst=address) / UDP(sport=40000, dport=53) / body)
        found = segment("n1", Packet(100, TO_US, len(data), data))
        assert found is not None and found.flags == DATAGRAM
        return found

    one, sent_on, other = read("10.96.0.10", b"who is a?"), read("10.244.1.5", b"who is a?"), read("10.96.0.10", b"b?")
    assert one.seq == sent_on.seq != other.seq


def test_scapys_errors_quote_what_ours_read() -> None:
    assert TCPerror in (V4 / ICMP(type=3) / IPerror(bytes(V4 / THERE)) / TCPerror()).layers()


def packet(machine: str, source: str, destination: str, flags: int, number: int = NUMBER) -> Segment:
    """A SYN of a number, or what answers it."""
    if flags == SYN:
        return Segment(0, machine, end(source), end(destination), flags, number)
    return Segment(0, machine, end(source), end(destination), flags, 500, number + 1 & 0xFFFFFFFF)


ASKED = [
    packet("n2", CLIENT, SERVICE, SYN),
    packet("n2", CLIENT, WEB, SYN),
    packet("n1", CLIENT, WEB, SYN),
    packet("n1", CLIENT, WEB, SYN),
]


def answered(flags: int) -> list[Segment]:
    return [
        packet("n1", WEB, CLIENT, flags), packet("n1", WEB, CLIENT, flags),
        packet("n2", WEB, CLIENT, flags), packet("n2", SERVICE, CLIENT, flags),
    ]  # fmt: skip


ERROR = Segment(0, "n1", end(CLIENT), end(WEB), 0, NUMBER, unreachable=True, by=bytes(4))


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ([], UNANSWERED),
        (ASKED, UNANSWERED),  # sent again
        (answered(RST | ACK), REFUSED),
        ([ERROR], UNREACHABLE),
        (answered(SYN | ACK), ACCEPTED),
        ([*answered(SYN | ACK), packet("n1", WEB, CLIENT, RST)], CUT),
        ([*answered(SYN | ACK), packet("n2", CLIENT, SERVICE, RST)], ACCEPTED),
        ([*answered(SYN | ACK), packet("n2", CLIENT, SERVICE, FIN | ACK), packet("n1", WEB, CLIENT, RST)], ACCEPTED),
        ([*answered(RST | ACK), packet("n1", WEB, CLIENT, SYN | ACK)], REFUSED),
    ],
)
def test_what_comes_of_a_connection(then: list[Segment], outcome: str) -> None:
    [found] = numbered(*ASKED, *then)
    assert (found.source, found.asked, found.sent_to) == (end(CLIENT), end(SERVICE), end(WEB))
    assert (found.machine, found.outcome(found.at + PATIENCE + 1)) == ("n2", outcome)
    assert bool(found.outcome(found.at)) == (outcome != UNANSWERED)  # it may still come


def numbered(*segments: Segment) -> list[Attempt]:
    return Attempts().add(row._replace(at=at + 1) for at, row in enumerate(segments)).all


def test_connections_are_told_apart_by_their_numbers_whatever_nat_makes_of_them() -> None:
    outside = [packet("client", "9.9.9.9:5", "1.1.1.1:30080", SYN, 3), packet("n1", NODE, WEB, SYN, 3)]
    found = numbered(*ASKED, *outside, packet("n1", WEB, NODE, RST | ACK, 3), packet("n1", CLIENT, WEB, SYN, 4))
    assert [(row.machine, row.asked, row.answer) for row in found] == [
        ("n2", end(SERVICE), ""),
        ("n1", end("1.1.1.1:30080"), REFUSED),
        ("n1", end(WEB), ""),
    ]


def test_datagrams_come_to_nothing_where_somebody_says_so() -> None:
    asked = [row._replace(flags=DATAGRAM) for row in ASKED]
    [found] = numbered(*asked)
    assert (found.asked, found.sent_to, found.outcome(10**10)) == (end(SERVICE), end(WEB), "")
    [found] = numbered(*asked, ERROR._replace(flags=DATAGRAM, seq=3))
    assert found.outcome(10) == UNREACHABLE


def test_of_too_many_connections_the_oldest_are_forgotten() -> None:
    attempts = Attempts(limit=8)
    for number in range(9):
        attempts.add([packet("n1", f"1.1.1.1:{number}", WEB, SYN, number)._replace(at=number)])
    assert (attempts.forgotten, [row.at for row in attempts.all]) == (2, [2, 3, 4, 5, 6, 7, 8])
    attempts.add([packet("n1", WEB, f"1.1.1.1:{number}", RST | ACK, number) for number in (0, 2)])
    assert [row.at for row in attempts.all if row.answer] == [2]


def facts() -> Facts:
    known = Facts()
    for kind, name, rest in (
        ("Pod", "web", {"spec": {"nodeName": "n1"}, "status": {"podIPs": [{"ip": "10.244.1.5"}]}}),
        ("Pod", "client", {"spec": {"nodeName": "n2"}, "status": {"podIPs": [{"ip": "10.244.2.9"}]}}),
        ("Service", "web", {"spec": {"clusterIPs": ["10.96.0.7"], "ports": [{"port": 53, "protocol": "UDP"}]}}),
        ("Node", "n1", {"spec": {"podCIDRs": ["10.244.1.0/24"]}}),
        ("Node", "n2", {"spec": {"podCIDRs": ["10.244.2.0/24"]}}),
    ):
        known.learn({"kind": kind, "metadata": {"name": name, "namespace": "default"}, **rest})
    return known


PLUS = Event(at=0, actor="c", kind="write", objects=("endpointslice/default/web-x",), args=("+10.244.1.5",))
WEBS = {"service/default/web"}


def test_the_first_packet_to_a_new_endpoint_and_those_that_came_to_nothing_are_told() -> None:
    probe = packet("n1", "10.244.1.1:4", WEB, SYN, 9)
    again = [row._replace(seq=8) for row in ASKED]
    found = numbered(probe, packet("n1", WEB, "10.244.1.1:4", RST | ACK, 9), *ASKED, *again, *answered(SYN | ACK))
    events = list(Sightings(facts()).look(found, [PLUS], WEBS, 10**10))
    assert [(row.actor, row.text) for row in events] == [
        ("packet@n2", "first SYN to 10.244.1.5:8080 by way of 10.96.0.7:80, from pod/client"),
        ("packet@n2", "SYN to 10.244.1.5:8080 by way of 10.96.0.7:80, from pod/client: no answer"),
    ]
    assert events[0].objects == ("pod/default/web", "service/default/web", "pod/default/client")
    assert [row.args[0] for row in Sightings(facts()).look(found, [], WEBS, 10**10)] == [UNANSWERED]
    assert not list(Sightings(facts()).look(found, [PLUS], {"service/default/other"}, 10**10))


def test_whose_datagrams_are_heard() -> None:
    known = facts()
    slice_ = {"metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}}
    known.learn({"kind": "EndpointSlice", **slice_, "ports": [{"port": 5353, "protocol": "UDP"}, {"port": 80}]})
    assert (known.udp_ports(WEBS), known.udp_ports(())) == ({53, 5353}, set())


def test_what_goes_on_is_told_once_and_when_it_is_known() -> None:
    joined = Attempts()
    told = Sightings(facts())
    taken = 0

    def look(now: int, *segments: Segment) -> list[str]:
        nonlocal taken
        fresh, taken = joined.add(segments).all[taken:], len(joined.all)
        return [str(row.args[0]) for row in told.look(fresh, [PLUS], WEBS, now)]

    assert look(0, *(row._replace(at=5) for row in ASKED)) == []
    assert look(5) == ["first"]
    assert look(6, *(row._replace(at=6) for row in answered(SYN | ACK))) == []
    assert look(7, packet("n1", WEB, CLIENT, RST)._replace(at=7)) == [CUT]
    assert look(8) == []
