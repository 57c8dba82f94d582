"""The vocabulary of a packet's way: what was observed and what is predicted are both told in hops.

A way there, of a pod that asks a Service whose pod is on another machine, and what tells of each hop::

    leave    pod/default/client eth0                  the frame, captured
    enter    n1 cni0, port veth3f2a                   the frame, captured; the bridge hands it up
    nat      n1 PREROUTING  10.96.71.12:80 → 10.244.2.7:8080      nftables' trace, conntrack
    route    n1 10.244.2.0/24 via 10.244.2.0 dev flannel.1        the kernel, asked; the neighbour entry, too
    filter   n1 FORWARD accept                        nftables' trace
    tunnel   n1 flannel.1  172.18.0.3 > 172.18.0.4 vni 1          the frame on flannel.1 and on n1-eth0; the FDB
    link     n1 n1-eth0 (n1–s1), 20 ms                the frame, captured at both ends
    switch   s1 s1-eth1 → s1-eth2                     the frame, captured
    link     s1 s1-eth2 (s1–n2)
    untunnel n2 flannel.1
    route    n2 10.244.2.0/24 dev cni0
    filter   n2 FORWARD accept
    leave    n2 cni0, port veth90d1
    enter    pod/default/web-0 eth0
    deliver  pod/default/web-0                        the socket's answer

Two hops are of the same event where their `key` is the same.  What else they say is compared by `differences`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from knet.api.families import host_port
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route

THERE, BACK = "there", "back"

#: what happens at a hop
KINDS = {
    "leave": "a frame goes out of an interface of a machine or a pod, except into a link or a tunnel",
    "enter": "a frame comes in at one",
    "nat": "addresses are translated; `translation`, and in `chains` who decided",
    "filter": "the rules of a hook let it pass; `chains`",
    "route": "the kernel looks up where to, and the next hop's hardware address; `route`, `neighbour`",
    "tunnel": "it is packed into another packet; `encapsulation`, `fdb`",
    "untunnel": "it is unpacked",
    "link": "it goes over a link of the topology; `queue` is the sending end's impairment",
    "switch": "a switch forwards it from `port` to `interface`",
    "deliver": "a socket gets it",
    "drop": "it ends here, silently; `chains` where a rule did it",
    "reject": "it ends here, and whoever sent it is told (TCP reset, ICMP error); `verdict` says which",
}


class Packet(NamedTuple):
    """What of a packet may change on its way.  Ports are 0 where the protocol has none."""

    protocol: str = ""
    """tcp, udp or icmp (also ICMPv6)"""
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0
    ttl: int = 0
    """0: not known, as in predictions whose sender's own is not known"""
    flags: str = ""
    """SYN, SYN,ACK, RST,ACK …; echo request …; "" otherwise"""
    size: int = 0
    """of the IP packet, bytes; 0: not known"""

    @property
    def reversed(self) -> "Packet":
        """The addresses of an answer to it."""
        return Packet(self.protocol, self.destination, self.destination_port, self.source, self.source_port)

    def __str__(self) -> str:
        """``10.244.1.4:41822 > 10.96.71.12:80``"""
        return f"{ends(self.source, self.source_port)} > {ends(self.destination, self.destination_port)}"


def ends(address: str, port: int) -> str:
    """``10.96.71.12:80``, ``[fd00::1]:80``, or the address alone."""
    return host_port(address, port) if port else address


class Translation(NamedTuple):
    """NAT: DNAT changes the destination, SNAT the source (masquerading is one); a reply's are undone likewise."""

    kind: str
    """DNAT or SNAT; "undo DNAT", "undo SNAT" for answers"""
    before: str
    """``10.96.71.12:80``"""
    after: str
    among: tuple[str, ...] = ()
    """all that chance might have chosen instead of ``after``, itself among them; () where there was no choice"""


class Encapsulation(NamedTuple):
    """The outer packet of a tunnel.  RFC 7348."""

    vni: int
    source: str
    destination: str
    port: int
    overhead: int
    """bytes more than before"""


class Rule(NamedTuple):
    """A rule that matched."""

    handle: int
    text: str
    """as iptables-save or nft has it, without ``-A CHAIN``"""
    comment: str = ""


class Passage(NamedTuple):
    """A chain of rules that was passed."""

    family: str
    """ip, ip6, inet, bridge"""
    table: str
    chain: str
    rules: tuple[Rule, ...] = ()
    """that matched, in order; a jump into the next passage among them"""
    verdict: str = ""
    """accept, drop, return, ``jump KUBE-SVC-…``, …"""
    hook: str = ""
    """of a base chain: prerouting, input, forward, output or postrouting"""


class Cause(NamedTuple):
    """The object because of which something is as it is."""

    kind: str
    """as the API has it, or one of the underlay's: Service, EndpointSlice, Node, NetworkPolicy, Pod; Link, Topology"""
    name: str
    namespace: str = ""
    detail: str = ""
    """what of it: "port http", "endpoint 10.244.2.5", "podCIDR" """

    def __str__(self) -> str:
        """``Service default/web port http``"""
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name} {self.detail}".rstrip()


_NOTHING = Packet()


class Key(NamedTuple):
    """Which event of a packet's way a hop is of."""

    way: str
    kind: str
    site: str
    what: str
    """the interface; of a translation its kind, for where it happens depends on who does it"""


@dataclass(frozen=True)
class Hop:
    """One thing that happens to the packet; ``kind`` says which of the further fields tell more."""

    kind: str
    site: str
    """a place's site, as `knet.inspect.places.Site.name` has it: n1, s1, pod/default/web-0"""
    interface: str = ""
    """there; a route's is the one that it leads to, a link's and a tunnel's the sending one; of "nat" and "filter" the
    hook: prerouting, input, forward, output, postrouting"""
    way: str = THERE
    packet: Packet = _NOTHING
    """as it is afterwards, inside of any tunnel"""
    port: str = ""
    """the port of a bridge by which it came in or goes out"""
    mtu: int = 0
    """of the interface; 0: not known"""
    at: int = 0
    """CLOCK_REALTIME, nanoseconds; 0 where nothing that was seen tells"""
    translation: Translation | None = None
    encapsulation: Encapsulation | None = None
    route: Route | None = None
    neighbour: Neighbour | None = None
    fdb: FdbEntry | None = None
    chains: tuple[Passage, ...] = ()
    link: str = ""
    """``n1–s1``"""
    queue: str = ""
    """a link's impairment, in words"""
    verdict: str = ""
    """of "drop" and "reject": what it was, in words; of "route" that failed: unreachable, blackhole, prohibit"""
    because: tuple[Cause, ...] = ()

    @property
    def key(self) -> Key:
        return Key(self.way, self.kind, self.site, self.translation.kind if self.translation else self.interface)


#: what of two hops with the same key has to be alike, where both know it; reads a hop, "" for unknown
_COMPARED: tuple[tuple[str, Callable[[Hop], str]], ...] = (
    ("addresses", lambda hop: str(hop.packet) if hop.packet.source else ""),
    ("translation", lambda hop: hop.translation.after if hop.translation else ""),
    ("next hop", lambda hop: hop.route.gateway or "on link" if hop.route else ""),
    ("hardware address", lambda hop: hop.neighbour.mac if hop.neighbour else ""),
    ("tunnel", lambda hop: f"{hop.encapsulation.destination} vni {hop.encapsulation.vni}" if hop.encapsulation else ""),
    ("mtu", lambda hop: str(hop.mtu or "")),
    ("port", lambda hop: hop.port),
)


class Difference(NamedTuple):
    """Where an observed hop is not what was expected."""

    what: str
    observed: str
    expected: str

    def __str__(self) -> str:
        return f"{self.what} {self.observed}, expected {self.expected}"


def differences(observed: Hop, expected: Hop) -> list[Difference]:
    """What two hops of one event say differently; a choice among several is right if it is one of them."""
    observed = _as_told(observed, expected)
    found = [Difference(what, read(observed), read(expected)) for what, read in _COMPARED]
    among = expected.translation.among if expected.translation else ()
    chosen = observed.translation is not None and observed.translation.after in among
    is_error = _is_error(observed.packet, expected.packet)  # which comes from whoever met it
    return [
        row
        for row in found
        if row.observed and row.expected and row.observed != row.expected
        if not (row.what in ("translation", "addresses") and (chosen or is_error))
    ]


def _is_error(observed: Packet, expected: Packet) -> bool:
    """Whether it is an ICMP error about the packet that is expected."""
    if observed.protocol != expected.protocol:
        return True
    return observed.protocol == "icmp" and bool(observed.flags) and not observed.flags.startswith("echo")


def _as_told(observed: Hop, expected: Hop) -> Hop:
    """Without the ports that the expectation leaves open: masquerading chooses them."""
    packet, wanted = observed.packet, expected.packet
    if not wanted.source_port:
        packet = packet._replace(source_port=0)
    if not wanted.destination_port:
        packet = packet._replace(destination_port=0)
    translation = observed.translation
    if translation and expected.translation and bare(translation.after) == expected.translation.after:
        translation = translation._replace(after=expected.translation.after)
    return replace(observed, packet=packet, translation=translation)


def bare(end: str) -> str:
    """The address of an end, without its port."""
    if end.startswith("["):
        return end[1:].partition("]")[0]
    return end if end.count(":") > 1 else end.partition(":")[0]
