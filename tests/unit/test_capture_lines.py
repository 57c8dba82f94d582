"""What is said about frames: built by scapy, which shares no code with the decoder."""

import time

import pytest
from inspect_cluster import NODES, PODS, SERVICES
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from knet.inspect.capture.decode import Message, decode
from knet.inspect.capture.lines import Lines
from knet.inspect.inventory import MACHINE, Spot
from knet.inspect.names import Names
from knet.inspect.places import Place, Site
from knet.kernel import packets
from knet.kernel.packets import Seen

CLIENT, WEB, SERVICE, N1, N2 = "10.244.1.3", "10.244.2.2", "10.96.0.80", "172.18.0.3", "172.18.0.4"


@pytest.fixture
def names() -> Names:
    found = Names()
    found.know(PODS, NODES, SERVICES)
    return found


def ether(payload: Packet) -> Packet:
    return Ether(src="0a:58:0a:f4:01:03", dst="0a:58:0a:f4:01:01") / payload


SYN = IP(src=CLIENT, dst=SERVICE) / TCP(sport=41822, dport=80, flags="S")
QUESTION = IP(src=CLIENT, dst=WEB) / UDP(sport=5000, dport=53) / DNS(qd=DNSQR(qname="web.default"))
ANSWER = (
    IP(src=WEB, dst=CLIENT)
    / UDP(sport=53, dport=5000)
    / DNS(qr=1, qd=DNSQR(qname="web.default"), an=DNSRR(rrname="web.default", rdata=SERVICE))
)
NOWHERE = IP(src=WEB, dst=CLIENT) / UDP(sport=53, dport=5000) / DNS(qr=1, rcode=3, qd=DNSQR(qname="no", qtype="AAAA"))
TUNNEL = IP(src=N1, dst=N2, ttl=63) / UDP(sport=40000, dport=8472) / VXLAN(vni=1, flags="Instance")

SAID = {
    "syn": (ether(SYN), "default/client:41822 > svc/default/web:80  TCP SYN  ttl 64"),
    "syn-ack": (
        ether(IP(src=SERVICE, dst=CLIENT, ttl=62) / TCP(sport=80, dport=41822, flags="SA")),
        "svc/default/web:80 > default/client:41822  TCP SYN-ACK  ttl 62",
    ),
    "request": (
        ether(SYN.copy() / Raw(b"GET /index.html HTTP/1.1\r\nHost: web\r\n\r\n")),
        "default/client:41822 > svc/default/web:80  TCP SYN, 39 bytes, GET /index.html HTTP/1.1  ttl 64",
    ),
    "request with what a terminal would obey": (
        ether(SYN.copy() / Raw(b"GET /\x1b[2J HTTP/1.1\r\n\r\n")),
        "default/client:41822 > svc/default/web:80  TCP SYN, 22 bytes, GET /·[2J HTTP/1.1  ttl 64",
    ),
    "reset": (
        ether(IP(src=WEB, dst="203.0.113.9") / TCP(sport=8080, dport=9, flags="RA")),
        "default/web-1:8080 > 203.0.113.9:9  TCP RST ACK  ttl 64",
    ),
    "question": (ether(QUESTION), "default/client:5000 > default/web-1:53  DNS A web.default?  ttl 64"),
    "answer": (
        ether(ANSWER),
        "default/web-1:53 > default/client:5000  DNS A web.default: 10.96.0.80 (svc/default/web)  ttl 64",
    ),
    "no such name": (ether(NOWHERE), "default/web-1:53 > default/client:5000  DNS AAAA no: NXDOMAIN  ttl 64"),
    "no such record": (
        ether(IP(src=WEB, dst=CLIENT) / UDP(sport=53, dport=5000) / DNS(qr=1, qd=DNSQR(qname="web", qtype="AAAA"))),
        "default/web-1:53 > default/client:5000  DNS AAAA web: none  ttl 64",
    ),
    "datagram": (
        ether(IP(src=CLIENT, dst=WEB) / UDP(sport=7, dport=9) / Raw(b"four")),
        "default/client:7 > default/web-1:9  UDP 4 bytes  ttl 64",
    ),
    "tunnel": (
        ether(TUNNEL / ether(SYN)),
        "n1 > n2  VXLAN vni 1 │ default/client:41822 > svc/default/web:80  TCP SYN  ttl 64",
    ),
    "who has": (
        Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(psrc=CLIENT, pdst=WEB),
        "default/client > everybody  ARP who has 10.244.2.2 (default/web-1)?",
    ),
    "is at": (
        ether(ARP(op=2, psrc=WEB, hwsrc="0a:58:0a:f4:02:02", pdst=CLIENT)),
        "default/web-1 > default/client  ARP 10.244.2.2 (default/web-1) is at 0a:58:0a:f4:02:02",
    ),
    "ping": (
        ether(IP(src=CLIENT, dst=N2) / ICMP(id=7, seq=3)),
        "default/client > n2  ICMP echo request, id 7 seq 3  ttl 64",
    ),
    "port unreachable": (
        ether(IP(src=WEB, dst=CLIENT) / ICMP(type=3, code=3) / IP(src=CLIENT, dst=WEB) / UDP(sport=7, dport=9)),
        "default/web-1 > default/client  ICMP port unreachable, of default/client:7 > default/web-1:9 UDP  ttl 64",
    ),
    "fragmentation needed": (
        ether(IP(src=N1, dst=CLIENT) / ICMP(type=3, code=4, nexthopmtu=1400) / SYN),
        "n1 > default/client  ICMP fragmentation needed: MTU is 1400, "
        "of default/client:41822 > svc/default/web:80 TCP  ttl 64",
    ),
    "fragment": (
        ether(IP(src=CLIENT, dst=WEB, frag=185, id=9, proto=17) / Raw(b"rest")),
        "default/client > default/web-1  IPv4 fragment from byte 1480 on, id 9  ttl 64",
    ),
    "another protocol": (
        ether(IP(src=CLIENT, dst=WEB, proto=132) / Raw(b"x" * 12)),
        "default/client > default/web-1  IP protocol 132, 12 bytes  ttl 64",
    ),
    "ping, IPv6": (
        ether(IPv6(src="fd00::1", dst="fd00::2", hlim=63) / IPv6ExtHdrHopByHop() / ICMPv6EchoRequest(id=1, seq=2)),
        "fd00::1 > fd00::2  ICMPv6 echo request, id 1 seq 2  ttl 63",
    ),
    "ports, IPv6": (
        ether(IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=2, flags="FA")),
        "[fd00::1]:1 > [fd00::2]:2  TCP FIN ACK  ttl 64",
    ),
    "neighbour, IPv6": (
        ether(IPv6(src="fe80::1", dst="ff02::1:ff00:2", hlim=255) / ICMPv6ND_NS(tgt="fd00::2")),
        "fe80::1 > ff02::1:ff00:2  ICMPv6 who has fd00::2?  ttl 255",
    ),
    "too big, IPv6": (
        ether(IPv6(src="fd00::9", dst="fd00::1") / ICMPv6PacketTooBig(mtu=1280) / IPv6(src="fd00::1", dst="fd00::2")),
        "fd00::9 > fd00::1  ICMPv6 packet too big: MTU is 1280, of fd00::1 > fd00::2 IP  ttl 64",
    ),
    "another ethertype": (
        Ether(src="0a:58:0a:f4:01:03", dst="5e:00:00:00:00:02", type=0x88B5) / Raw(b"?"),
        "default/client > n2  Ethernet type 0x88b5",
    ),
}


@pytest.mark.parametrize("what", SAID)
def test_a_frame_is_told_in_names(what: str, names: Names) -> None:
    frame, said = SAID[what]
    assert line(bytes(frame), names) == said


def test_refusals_are_failures(names: Names) -> None:
    failing = {"reset", "port unreachable", "fragmentation needed", "too big, IPv6"}
    assert {what for what, (frame, _) in SAID.items() if decode(bytes(frame), names).failure} == failing


@pytest.mark.parametrize("what", SAID)
def test_no_beginning_of_a_frame_is_too_short_to_be_told(what: str, names: Names) -> None:
    whole = bytes(SAID[what][0])
    for length in range(len(whole)):
        assert isinstance(decode(whole[:length], names), Message)


def site(name: str) -> Site:
    return Site(Spot(MACHINE, name), name, -1)


def line(frame: bytes, names: Names, colour: bool = False) -> str:
    lines = Lines(names, colour)
    lines.begin([Place(site("n1"), "cni0", 3)])
    seen = Seen(0, 0, packets.TO_US, len(frame), frame)
    return lines.packets([seen]).decode().split("  in   ")[-1].rstrip("\n")


def test_a_line_says_when_and_where_and_which_way(names: Names) -> None:
    lines = Lines(names, colour=False)
    assert lines.begin([Place(site("n1"), "cni0", 3), Place(site("client"), "client-eth0", 2)]) == b""
    moment = int(time.mktime((2026, 11, 26, 11, 28, 14, 0, 0, -1))) * 10**9 + 489_858_999
    frame = bytes(ether(SYN))
    rows = [Seen(moment, place, kind, len(frame), frame) for place, kind in ((0, 0), (1, 4))]
    assert lines.packets(rows).decode().splitlines() == [
        "11:28:14.489858  n1/cni0             in   default/client:41822 > svc/default/web:80  TCP SYN  ttl 64",
        "11:28:14.489858  client/client-eth0  out  default/client:41822 > svc/default/web:80  TCP SYN  ttl 64",
    ]


def test_colours_are_for_terminals(names: Names) -> None:
    assert "\x1b[31mTCP RST ACK\x1b[0m" in line(bytes(SAID["reset"][0]), names, colour=True)
    assert "\x1b" not in line(bytes(SAID["reset"][0]), names)
