"""How a probe is told from all other packets, whatever NAT, tunnels and routers do to its header.

=====  ========================================  =====================================================================
tcp    its first sequence number is ours         whoever answers a SYN acknowledges that number plus one: SYN,ACK, RST
udp    its payload begins with our words         answers by their addresses, which the probe itself teaches
icmp   likewise (an echo)                        the same payload, as a reply
=====  ========================================  =====================================================================

ICMP errors quote the packet that they are about, whose beginning is enough.  The same is said three times: in Python,
to nftables (for the rule that has the kernel trace the packet) and to the sockets' filters.  Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knet.inspect.observe.frames import VXLAN_PORTS, Seen
from knet.inspect.trace.hops import BACK, THERE

#: of our table; `knet rules` and people shall know whose it is
TABLE = "knet-trace"
#: before all other chains, so that all of them are told of (raw's are at -300), and after them
_FIRST, _LAST = -450, 450
_EARLY, _LATE = ("prerouting", "output"), ("input", "postrouting")
KINDS, _NFPROTO = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}, {"ip": "ipv4", "ip6": "ipv6"}
_MASK = 0xFFFFFFFF
#: bytes of payload that tell: nftables compares as many
ENOUGH = 8
#: for pcap-filter(7): echoes, and errors about packets of any protocol
ICMP = "icmp or icmp6"
_PROTOCOLS = {"udp": "udp", "icmp": "{ icmp, icmpv6 }"}


class Recognising(Protocol):
    """How packets of one that is followed are told from others."""

    protocol: str

    def way(self, seen: Seen) -> str:
        """`THERE`, `BACK`, or "" for a packet that has nothing to do with it."""

    def filter(self) -> str:
        """For pcap-filter(7): all that may be of interest."""

    def table(self) -> str:
        """For nft: the table that has it traced, as long as whoever makes it lives."""


@dataclass
class Mark:
    """The mark of one probe."""

    protocol: str
    number: int
    """32 bits: TCP's first sequence number"""
    payload: bytes = b""
    """how an UDP probe's, or an echo's, payload begins; at least 8 bytes"""
    _learnt: set[tuple[str, int, str, int]] = field(default_factory=set)

    def way(self, seen: Seen) -> str:
        """`THERE` for the probe, `BACK` for an answer to it or an error about it, "" for another packet."""
        if seen.error:
            return BACK if seen.quoted is not None and self._quoted(seen.quoted) else ""
        if seen.packet.protocol != self.protocol:
            return ""
        if self.protocol == "tcp":
            return self._tcp(seen)
        packet = seen.packet
        if self.protocol == "icmp":
            ways = {"echo request": THERE, "echo reply": BACK}
            return ways.get(packet.flags, "") if self._marked(seen) else ""
        if (packet.destination, packet.destination_port, packet.source, packet.source_port) in self._learnt:
            return BACK
        if not self._marked(seen):
            return ""
        self._learnt.add((packet.source, packet.source_port, packet.destination, packet.destination_port))
        return THERE

    def _tcp(self, seen: Seen) -> str:
        flags = seen.packet.flags.split(",")
        if flags == ["SYN"] and seen.sequence == self.number:
            return THERE
        answers = "ACK" in flags and ("SYN" in flags or "RST" in flags)
        return BACK if answers and seen.acknowledged == (self.number + 1) & _MASK else ""

    def _marked(self, seen: Seen) -> bool:
        """Of a packet that a rule is told to have matched only the first bytes are there."""
        size = min(len(seen.payload), len(self.payload))
        return size >= ENOUGH and seen.payload[:size] == self.payload[:size]

    def _quoted(self, seen: Seen) -> bool:
        """Of a quoted packet only its first 8 bytes after the IP header are sure to be there."""
        if seen.packet.protocol != self.protocol:
            return False
        if self.protocol == "tcp":
            return seen.sequence == self.number
        return bool(seen.payload) and self.payload.startswith(seen.payload[: len(self.payload)])

    def filter(self) -> str:
        """For pcap-filter(7): the probe, answers to it, and errors; of UDP all of it, for answers are like any."""
        if self.protocol == "icmp":
            return ICMP
        if self.protocol == "udp":
            return f"{ICMP} or (udp {' '.join(f'and not port {port}' for port in VXLAN_PORTS)})"
        there, back = self.number, (self.number + 1) & _MASK
        four = f"tcp[4:4] = {there} or tcp[8:4] = {back}"
        return f"{ICMP} or {four} or (ip6 proto 6 and (ip6[44:4] = {there} or ip6[48:4] = {back}))"

    def table(self) -> str:
        """For nft: the table that has the probe and its answers traced, as long as whoever makes it lives.

        What leaves is remembered in a set, so that answers are known by their addresses where nothing in them is ours.
        The last chains are there to be told of: they show the packet as it is when all others are done with it.
        """
        sets, leaving = [], []
        if self.protocol == "tcp":
            matches = f"@th,32,32 {self.number}", f"@th,64,32 {(self.number + 1) & _MASK}"
            marking = [f"meta l4proto tcp {match} meta nftrace set 1" for match in matches]
        else:
            first, second = (int.from_bytes(self.payload[start : start + 4], "big") for start in (0, 4))
            ours = f"meta l4proto {_PROTOCOLS[self.protocol]} @th,64,32 {first} @th,96,32 {second}"
            marking = [f"{ours} meta nftrace set 1"]
        for family, kind in KINDS.items() if self.protocol == "udp" else ():
            name, keys = f"sent-{family}", f"{kind} . inet_service . {kind} . inet_service"
            sets.append(f"set {name} {{ type {keys}; flags dynamic; size 64; }}")
            ends = f"{family} daddr . th dport . {family} saddr . th sport"
            leaving.append(f"meta nfproto {_NFPROTO[family]} {ours} add @{name} {{ {ends} }}")
            answer = f"{family} saddr . th sport . {family} daddr . th dport @{name}"
            marking.append(f"meta l4proto udp {answer} meta nftrace set 1")
        return own_table(sets, marking, leaving)


def own_table(sets: Sequence[str], marking: Sequence[str], leaving: Sequence[str] = ()) -> str:
    """For nft: rules for what comes in or is sent, before all others, and for what is delivered or goes out, after
    them.  It vanishes with the socket that makes it."""
    lines = [f"table inet {TABLE} {{", "flags owner", *sets]
    for priority, hooks, rules in ((_FIRST, _EARLY, marking), (_LAST, _LATE, leaving)):
        for hook in hooks:
            lines += [f"chain {hook} {{", f"type filter hook {hook} priority {priority};", *rules, "}"]
    return "\n".join([*lines, "}", ""])
