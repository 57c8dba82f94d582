"""Frames are read as scapy writes them, and a probe is told from all else, there and back."""

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from knet.inspect.observe.frames import frame
from knet.inspect.observe.mark import Mark
from knet.inspect.trace.hops import BACK, THERE

NUMBER = 0xFFFFFFFF  # the last one: its answer acknowledges 0
WORDS = b"0123456789abcdef knet trace"
TCP_MARK = Mark("tcp", NUMBER)
ETHER = Ether(src="0a:58:0a:f4:01:02", dst="0a:58:0a:f4:01:01")
THERE4, BACK4 = IP(src="10.244.1.2", dst="10.96.0.80"), IP(src="10.96.0.80", dst="10.244.1.2")
SYN = TCP(sport=41822, dport=80, flags="S", seq=NUMBER)
OUTSIDE = Ether() / IP(src="172.18.0.3", dst="172.18.0.4") / UDP(sport=5, dport=8472) / VXLAN(vni=1, flags="Instance")


@pytest.mark.parametrize(
    ("built", "packet", "flags", "way"),
    [
        (THERE4 / SYN, "10.244.1.2:41822 > 10.96.0.80:80", "SYN", THERE),
        (THERE4 / TCP(sport=41822, dport=80, flags="S", seq=7), "10.244.1.2:41822 > 10.96.0.80:80", "SYN", ""),
        (THERE4 / TCP(sport=41822, dport=80, flags="A", seq=0), "10.244.1.2:41822 > 10.96.0.80:80", "ACK", ""),
        (BACK4 / TCP(sport=80, dport=41822, flags="SA", ack=0), "10.96.0.80:80 > 10.244.1.2:41822", "SYN,ACK", BACK),
        (BACK4 / TCP(sport=80, dport=41822, flags="RA", ack=0), "10.96.0.80:80 > 10.244.1.2:41822", "RST,ACK", BACK),
        (IPv6(src="fd00::1", dst="fd00::2") / SYN, "[fd00::1]:41822 > [fd00::2]:80", "SYN", THERE),
        (
            BACK4 / ICMP(type=3, code=1) / IPerror(bytes(THERE4 / SYN)[:28]),
            "10.96.0.80 > 10.244.1.2",
            "host unreachable",
            BACK,
        ),
        (
            IPv6(src="fd00::9", dst="fd00::1") / ICMPv6PacketTooBig(mtu=1280) / Raw(bytes(IPv6(dst="fd00::2") / SYN)),
            "fd00::9 > fd00::1",
            "packet too big",
            BACK,
        ),
    ],
)
def test_tcp(built: object, packet: str, flags: str, way: str) -> None:
    seen = frame(bytes(ETHER / built))
    assert seen is not None
    assert (str(seen.packet), seen.packet.flags, TCP_MARK.way(seen)) == (packet, flags, way)
    assert seen.source_mac == "0a:58:0a:f4:01:02"


def test_what_is_inside_a_tunnel_is_read_and_the_outside_kept() -> None:
    seen = frame(bytes(OUTSIDE / ETHER / THERE4 / SYN))
    assert seen is not None
    assert seen.outer is not None
    assert (seen.outer.vni, str(seen.outer.packet)) == (1, "172.18.0.3:5 > 172.18.0.4:8472")
    assert (str(seen.packet), TCP_MARK.way(seen)) == ("10.244.1.2:41822 > 10.96.0.80:80", THERE)


def test_answers_to_udp_are_known_by_the_addresses_that_the_probe_had_there() -> None:
    mark = Mark("udp", 0, WORDS)
    there = frame(bytes(ETHER / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=5, dport=53) / Raw(WORDS + b"....")))
    answer = frame(bytes(ETHER / IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=53, dport=5) / Raw(b"what?")))
    assert there is not None
    assert answer is not None
    assert [mark.way(row) for row in (answer, there, answer)] == ["", THERE, BACK]
    beginning = frame(bytes(ETHER / IP() / UDP(sport=7, dport=53) / Raw(WORDS[:12])))  # as a rule's trace shows it
    assert beginning is not None
    assert mark.way(beginning) == THERE


def test_a_question_to_the_dns_is_its_own_mark() -> None:
    question = DNS(id=77, qd=DNSQR(qname="web.default.svc.cluster.local"))
    mark = Mark("udp", 0, bytes(question))
    other = DNS(id=78, qd=DNSQR(qname="web.default.svc.cluster.local"))
    ways = [frame(bytes(ETHER / THERE4 / UDP(sport=5, dport=53) / row)) for row in (question, other)]
    assert [mark.way(row) for row in ways if row] == [THERE, ""]
    error = BACK4 / ICMP(type=3, code=3) / IPerror(bytes(THERE4 / UDP(sport=5, dport=53) / question))
    seen = frame(bytes(ETHER / error))
    assert seen is not None
    assert (seen.error, mark.way(seen)) == ("port unreachable", BACK)


def test_echoes_are_told_by_their_payload() -> None:
    mark = Mark("icmp", 0, WORDS)
    rows = [
        THERE4 / ICMP(type=8, id=4) / Raw(WORDS),
        BACK4 / ICMP(type=0, id=4) / Raw(WORDS),
        IPv6() / ICMPv6EchoRequest(data=WORDS),
        IPv6() / ICMPv6EchoReply(data=WORDS),
        BACK4 / ICMP(type=0, id=4) / Raw(b"somebody else's"),
    ]
    assert [mark.way(seen) for row in rows if (seen := frame(bytes(ETHER / row)))] == [THERE, BACK, THERE, BACK, ""]


def test_what_is_not_ip_or_not_whole_is_nobodys() -> None:
    whole = bytes(ETHER / THERE4 / TCP() / Raw(b"x"))
    assert frame(bytes(ETHER / ARP())) is None
    assert frame(whole[:10]) is None
    assert frame(whole[:36]) is None
    quoting = frame(bytes(ETHER / BACK4 / ICMP(type=3, code=1) / Raw(b"\x45" + bytes(9))))
    assert quoting is None or TCP_MARK.way(quoting) == ""
