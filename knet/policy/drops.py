"""What a machine's policies refused: from the kernel's memory of the last ten minutes, or packet by packet.  Pure."""

import struct
from ipaddress import ip_address
from typing import Any, NamedTuple

from knet.kernel.nflog import Logged
from knet.kernel.protocols import name_of
from knet.policy.policies import DIRECTIONS, INGRESS

#: seconds for which the table remembers (``timeout`` of `knet.policy.table.Set`)
MEMORY = 600
_WITH_PORTS = ("tcp", "udp", "sctp")


class Drop(NamedTuple):
    """A packet, or several alike, that a pod's policies did not allow."""

    direction: str
    """egress: it was not to leave the source; ingress: not to reach the destination"""
    source: str
    destination: str
    protocol: str
    port: int
    """0 where the protocol has none"""
    policies: tuple[str, ...]
    """those that isolate the pod, NAMESPACE/NAME; the last may be "+N" for N more; none where they have gone since"""
    packets: int = 1
    seconds: float = 0.0
    """since the last one"""

    @property
    def isolated(self) -> str:
        """The address whose policies it was."""
        return self.destination if self.direction == INGRESS else self.source


def remembered(listing: list[dict[str, Any]]) -> list[Drop]:
    """The drops in a listing of the table (`knet.kernel.nft.listing`), the last one first."""
    chains: dict[tuple[str, str], str] = {}
    prefixes: dict[str, str] = {}
    found: list[tuple[str, Any]] = []
    for entry in listing:
        [(kind, row)] = entry.items()
        if kind == "map":
            way = row["name"].partition("-")[0]
            chains |= {(way, address): verdict["goto"]["target"] for address, verdict in row.get("elem", ())}
        elif kind == "set" and row["name"].startswith("dropped-"):
            found += [(row["name"].split("-")[1], item["elem"]) for item in row.get("elem", ())]
        elif kind == "rule":
            prefixes.update((row["chain"], part["log"]["prefix"]) for part in row["expr"] if "log" in part)
    drops = []
    for direction, element in found:
        source, destination, protocol, *port = element["val"]["concat"]
        drop = Drop(direction, source, destination, protocol, int(port[0]) if port else 0, ())
        prefix = prefixes.get(chains.get((direction, drop.isolated), ""), "")
        packets, seconds = element["counter"]["packets"], float(MEMORY - element["expires"])
        drops.append(drop._replace(policies=tuple(prefix.split()[1:]), packets=packets, seconds=seconds))
    return sorted(drops, key=lambda row: row.seconds)


def logged(entry: Logged) -> Drop | None:
    """The packet that the log group brought; None for one that is none of ours, or that cannot be read."""
    direction, *policies = entry.prefix.split() or [""]
    header = _header(entry.packet)
    if direction not in DIRECTIONS or header is None:
        return None
    # as in the memory, where nft(8) has the names of /etc/protocols
    protocol = {"icmpv6": "ipv6-icmp"}.get(name := name_of(header.protocol), name)
    port = 0
    if protocol in _WITH_PORTS and len(entry.packet) >= header.end + 4:
        port = struct.unpack_from(">H", entry.packet, header.end + 2)[0]
    return Drop(direction, header.source, header.destination, protocol, port, tuple(policies))


class _Header(NamedTuple):
    source: str
    destination: str
    protocol: int
    end: int


def _header(packet: bytes) -> _Header | None:
    """What IP says (RFC 791, RFC 8200), and where it ends; extension headers are skipped."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return _Header(_address(packet[12:16]), _address(packet[16:20]), packet[9], 4 * (packet[0] & 15))
    if version == 6 and len(packet) >= 40:
        number, start = packet[6], 40
        while number in (0, 43, 60) and len(packet) >= start + 2:  # hop-by-hop, routing, destination options
            number, start = packet[start], start + 8 * (packet[start + 1] + 1)
        return _Header(_address(packet[8:24]), _address(packet[24:40]), number, start)
    return None


def _address(data: bytes) -> str:
    return str(ip_address(data))
