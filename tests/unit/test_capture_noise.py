"""What is hidden unless asked for, and what never is; frames built by scapy, taken or left by the kernel."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6MLDMultAddrRec,
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, LLC, STP, Dot3, Ether
from scapy.packet import Packet, Raw
from test_bpf import outside, received

from knet.inspect.capture.noise import EXPRESSION
from knet.kernel import bpf

LINK_LOCAL = "fe80::858:aff:fef4:103"
NOISE = {
    "STP": Dot3(dst="01:80:c2:00:00:00") / LLC() / STP(),
    "LLDP": Ether(type=0x88CC) / Raw(b"neighbour"),
    "IGMP": Ether() / IP(src="10.244.1.1", dst="224.0.0.22", proto=2) / Raw(bytes.fromhex("2200dd0000000001")),
    "MLD": Ether()
    / IPv6(src=LINK_LOCAL, dst="ff02::16", hlim=1)
    / IPv6ExtHdrHopByHop(options=RouterAlert())
    / ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec()]),
    "router solicitation": Ether() / IPv6(src=LINK_LOCAL, dst="ff02::2") / ICMPv6ND_RS(),
    "duplicate address detection": Ether() / IPv6(src="::", dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="fd00::2"),
    "speaker": Ether() / IP(src="172.18.0.3", dst="255.255.255.255") / UDP(sport=7946, dport=7946) / Raw(b"{}"),
}
ALWAYS = {
    "ARP": Ether() / ARP(),
    "ping": Ether() / IP(src="10.244.1.3", dst="10.244.2.2") / ICMP(),
    "ping, IPv6": Ether() / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(),
    "neighbour": Ether() / IPv6(src=LINK_LOCAL, dst="ff02::1:ff00:2") / ICMPv6ND_NS(tgt="fd00::2"),
    "datagram": Ether() / IP(src="10.244.1.3", dst="10.244.2.2") / UDP(sport=1, dport=2),
}


@pytest.mark.parametrize("what", [*NOISE, *ALWAYS])
def test_noise_is_hidden_outside_and_inside_tunnels(what: str) -> None:
    packet: Packet = (NOISE | ALWAYS)[what]
    frames = {"plain": bytes(packet), "tunnelled": outside(bytes(packet))}
    assert received(bpf.program(unless=EXPRESSION), frames) == ({} if what in NOISE else frames)
    assert received(bpf.program(), frames) == frames
