"""What is sent, what should become of it, what has become of it, and the verdict: the values of a trace.

::

    Probe ──┬─ expected(world, probe, chosen) ───── Prediction ─┐
            │                                                   ├─ diagnose(world, prediction, evidence) ─ Diagnosis
            └─ observed ─────────────────────────── Evidence ───┘

`knet.inspect.predict` has ``expected`` and ``diagnose``, `knet.inspect.observe` makes the evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from knet.inspect.trace.hops import Cause, Hop, Packet
from knet.kernel.conntrack import Flow
from knet.kernel.links import Link
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.routes import Route

#: how a trace may end
DELIVERED, REFUSED, DROPPED = "delivered", "refused", "dropped"


@dataclass(frozen=True)
class Probe:
    """One packet, as its sender's socket is told to send it."""

    site: str
    """where it starts: n1, client, pod/default/web-0"""
    packet: Packet
    """with the addresses that the sender knows; its source address is what the sender's routes choose"""
    target: str = ""
    """as the user named it: svc/web:80"""
    live: bool = False
    """somebody else sent it, whose connection it is of"""


@dataclass(frozen=True)
class Prediction:
    """What should happen, as the objects of the API and the topology have it."""

    hops: tuple[Hop, ...]
    """there, then back"""
    outcome: str = DELIVERED
    because: tuple[Cause, ...] = ()
    """of an outcome that is not "delivered" """
    text: str = ""
    """the same in words: "Service default/web has no ready endpoints" """
    culprit: str = ""
    """the same in a word: one of `CULPRITS`"""


@dataclass(frozen=True)
class Lookups:
    """What the kernel of one site says, asked after the probe, about the packet as it was last seen there."""

    site: str
    packet: Packet
    route: Route | None = None
    """for the packet's destination; None: "Network is unreachable" """
    hop: str = ""
    """the address whose hardware address is needed next: the gateway, or the destination"""
    neighbour: Neighbour | None = None
    """its entry; None where there is none"""
    fdb: FdbEntry | None = None
    """where the way leads into a tunnel: the neighbour's entry there"""
    links: Mapping[str, Link] = field(default_factory=dict)
    """all interfaces by name"""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """by dotted name: `knet.inspect.observe.lookups.SYSCTLS`"""
    translated: Mapping[str, Route | None] = field(default_factory=dict)
    """likewise, for the addresses that it may have been given there, where it was not seen afterwards"""
    answer: Route | None = None
    """where it is for the site itself: for what answers it; None: "Network is unreachable" """
    listening: frozenset[int] = frozenset()
    """ports of the probe's protocol on which sockets wait there"""


@dataclass(frozen=True)
class Evidence:
    """What was seen."""

    probe: Probe
    hops: tuple[Hop, ...]
    """there, then back, in the order in which they happened"""
    outcome: str
    error: str = ""
    """what the sender's socket says: "Connection refused", "No route to host"; "" for an answer, or none"""
    lookups: Mapping[str, Lookups] = field(default_factory=dict)
    """by site, of all that the packet came through, the last hop's among them; where it was lost, of all machines"""
    known_before: Mapping[str, tuple[Flow, ...]] = field(default_factory=dict)
    """connections of this source and destination that a machine already tracked, by site"""
    reply: Packet | None = None
    """what came back, where anything did: an answer, a reset, an ICMP error"""

    @property
    def last(self) -> Hop:
        """Where the packet, or its answer, was seen last."""
        return self.hops[-1]


@dataclass(frozen=True)
class Diagnosis:
    """Who did it."""

    text: str
    """one or two sentences: "Dropped on n1: no neighbour entry for 10.244.2.0 (L2 miss)" """
    culprit: str
    """in one word, for programs: one of `CULPRITS`"""
    because: tuple[Cause, ...] = ()
    expected: str = ""
    """what should have been there: "10.244.2.0 lladdr 5e:… permanent" """
    remedy: str = ""
    """what mends it, as a command where there is one"""


#: what a diagnosis may come to
CULPRITS = {
    "link-down": "a link, or an interface, has no carrier",
    "partition": "a partition of the lab keeps the two apart",
    "machine-off": "a machine on the way is off or paused",
    "impairment": "a link lost it, by its declared impairment",
    "mtu": "a packet that is too large for an interface on the way",
    "no-route": "no route, or one that leads elsewhere",
    "no-neighbour": "no hardware address for the next hop",
    "no-fdb": "no forwarding entry for the next hop's hardware address, or a wrong one",
    "policy": "a NetworkPolicy refuses it",
    "no-endpoints": "the Service has no endpoint that could serve",
    "no-such-port": "the Service does not have that port",
    "no-service-rules": "kube-proxy's rules for the Service are missing or others than they should be",
    "bridge-nf": "the bridge's frames do not pass netfilter (bridge-nf-call-iptables)",
    "stale-conntrack": "an earlier connection's entry translates it to what has gone",
    "forwarding": "the machine does not forward (ip_forward)",
    "not-listening": "nobody listens on that port",
    "rule": "a rule that is not the cluster's",
    "unknown": "none of these",
}
