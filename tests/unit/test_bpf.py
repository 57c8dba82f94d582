"""Filter programs, run by the kernel: on a socket whose datagrams are the frames."""

import socket
import struct
from collections.abc import Mapping

import pytest

from knet.kernel import bpf


def frame(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0)
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    return bytes(12) + b"\x08\x00" + header + ends + body


def frame6(protocol: int, body: bytes) -> bytes:
    return bytes(12) + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + bytes(32) + body


def datagram(port: int, body: bytes = b"") -> bytes:
    return struct.pack("!HHHH", 40000, port, 8 + len(body), 0) + body


DNS = frame("10.244.1.2", "10.244.2.2", 17, datagram(53, b"question"))
WEB = frame("10.244.1.2", "10.244.2.2", 6, struct.pack("!HHIIBBHHH", 40001, 80, 1, 1, 0x50, 2, 1000, 0, 0))
SOLICITATION = frame6(58, b"\x85" + bytes(15))
VXLAN = b"\x08\0\0\0\0\0\x01\0"


def outside(inner: bytes) -> bytes:
    return frame("172.18.0.3", "172.18.0.4", 17, datagram(8472, VXLAN + inner))


def outside6(inner: bytes) -> bytes:
    return frame6(17, datagram(8472, VXLAN + inner))


FRAMES = {
    "dns": DNS,
    "web": WEB,
    "rs": SOLICITATION,
    "vxlan dns": outside(DNS),
    "vxlan web": outside(WEB),
    "vxlan rs": outside(SOLICITATION),
    "vxlan6 web": outside6(WEB),
    "short": WEB[:20],
}
ROWS = [
    ("", "", [*FRAMES]),
    ("udp port 53", "", ["dns", "vxlan dns"]),
    ("tcp", "", ["web", "vxlan web", "vxlan6 web"]),
    ("tcp[tcpflags] & tcp-syn != 0 and dst port 80", "", ["web", "vxlan web", "vxlan6 web"]),
    ("host 10.244.2.2", "", ["dns", "web", "vxlan dns", "vxlan web", "vxlan6 web"]),
    ("udp port 8472", "", ["vxlan dns", "vxlan web", "vxlan rs", "vxlan6 web"]),
    ("", "icmp6 and ip6[40] = 133", [name for name in FRAMES if not name.endswith("rs")]),
    ("host 172.18.0.3", "icmp6", ["vxlan dns", "vxlan web"]),
    ("tcp", "host 10.244.1.2", []),
]


@pytest.mark.parametrize(("expression", "unless", "taken"), ROWS)
def test_programs_look_at_packets_and_into_tunnels(expression: str, unless: str, taken: list[str]) -> None:
    assert received(bpf.program(expression, unless)) == {name: FRAMES[name] for name in taken}


def test_as_many_bytes_as_are_wanted_are_taken() -> None:
    found = received(bpf.program("tcp", length=40))
    assert found == {name: FRAMES[name][:40] for name in ("web", "vxlan web", "vxlan6 web")}


def received(program: bpf.Program, frames: Mapping[str, bytes] = FRAMES) -> dict[str, bytes]:
    """What a program takes of frames."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setblocking(False)
        bpf.attach(receiver, program)
        found = {}
        for name, data in frames.items():
            sender.send(data)
            try:
                found[name] = receiver.recv(2048)
            except BlockingIOError:
                continue
        return found


def test_a_wrong_expression_is_refused_in_libpcaps_words() -> None:
    with pytest.raises(bpf.FilterError, match="syntax error"):
        bpf.program("tcp prot 80")
