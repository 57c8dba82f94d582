"""Who did it: evidence as a prober would have it, each broken in one place, and the culprit's name."""

from dataclasses import replace

import pytest
from test_predict_verdicts import DENY, PODS, SERVICES, SLICES
from worlds import topology, world

from knet.cni.bridge import veth_name
from knet.inspect.predict.diagnosis import diagnose
from knet.inspect.predict.path import expected
from knet.inspect.trace.evidence import CULPRITS, DELIVERED, DROPPED, REFUSED, Evidence, Lookups, Probe
from knet.inspect.trace.hops import BACK, THERE, Encapsulation, Packet, Passage, Rule
from knet.kernel.conntrack import Flow
from knet.kernel.links import Link
from knet.kernel.neighbours import Neighbour
from knet.kernel.routes import Route

CLIENT, WEB, NEAR = "pod/default/client", "pod/default/web", "pod/default/near"
VIP, FAR_POD, NEAR_POD = "10.96.0.80", "10.244.2.5", "10.244.1.8"
SYSCTLS = {"net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "1"}
OFF = dict.fromkeys(SYSCTLS, "0")
WRONG = "5e:00:00:00:00:01"
MTU = {"eth0": 1450, "cni0": 1450, "flannel.1": 1450}


def probe(destination=VIP, port=80, size=60, protocol="tcp"):
    return Probe(CLIENT, Packet(protocol, "10.244.1.7", 40000, destination, port, 64, size=size))


def links(prediction, site):
    names = {name for hop in prediction.hops if hop.site == site for name in (hop.interface, hop.port)}
    names |= {"n1-eth0", "n2-eth0"} & {f"{site}-eth0"}
    names = {name for name in names if name and name not in ("prerouting", "forward", "postrouting", "input", "output")}
    return {
        name: Link(1, name, "veth", "", MTU.get(name, 1450 if "veth" in name else 1500), True, True, 0, 0)
        for name in names
    }


class Seen:
    """What is seen of a probe that gets through; the test then breaks it."""

    def __init__(self, cluster=None, chosen=f"{FAR_POD}:8080", **sent):
        self.world = cluster or world(PODS, SERVICES, SLICES)
        self.probe = probe(**sent)
        self.prediction = expected(self.world, self.probe, chosen)
        self.hops = list(self.prediction.hops)
        self.known = {}
        self.listening = frozenset({80, 8080})
        self.lookups = {}
        for hop in self.hops:
            if hop.site != "s1":
                self.lookups.setdefault(hop.site, self._asked(hop.site))

    def _asked(self, site):
        rows = [hop for hop in self.hops if (hop.site, hop.way) == (site, THERE)]
        route = next((hop for hop in rows if hop.kind == "route"), None)
        found = Lookups(
            site, rows[-1].packet, links=links(self.prediction, site), sysctls=SYSCTLS, listening=self.listening
        )
        if route is None:
            return replace(found, route=Route("default", "eth0", type="local"), answer=Route("default", "eth0"))
        hop = route.route.gateway or rows[-1].packet.destination
        return replace(found, route=route.route, hop=hop, neighbour=route.neighbour)

    def until(self, kind, site, way=THERE):
        """Nothing is seen after this hop."""
        place = next(n for n, hop in enumerate(self.hops) if (hop.kind, hop.site, hop.way) == (kind, site, way))
        del self.hops[place + 1 :]
        return self

    def without(self, kind, site, way=THERE):
        self.hops = [hop for hop in self.hops if (hop.kind, hop.site, hop.way) != (kind, site, way)]
        return self

    def last(self, **changes):
        self.hops[-1] = replace(self.hops[-1], **changes)
        return self

    def asked(self, site, **changes):
        self.lookups[site] = replace(self.lookups[site], **changes)
        return self

    def link(self, site, name, **changes):
        rows = {**self.lookups[site].links}
        rows[name] = replace(rows[name], **changes)
        return self.asked(site, links=rows)

    def diagnosis(self, outcome=DROPPED):
        evidence = Evidence(self.probe, tuple(self.hops), outcome, lookups=self.lookups, known_before=self.known)
        return diagnose(self.world, self.prediction, evidence)


def stale():
    seen = Seen().until("nat", "n1")
    translation = seen.hops[-1].translation._replace(after="10.244.2.77:8080")
    seen.known = {"n1": (Flow(6, "10.244.1.7", 40000, VIP, 80, "10.244.2.77", 8080),)}
    return seen.last(translation=translation)


def outdated():
    seen = stale()
    seen.known = {}
    return seen


def by_rule(passage, rule):
    return Seen().until("route", "n1").last(kind="drop", interface="forward", chains=(passage._replace(rules=(rule,)),))


def of_an_old_flow():
    """Rules' traces are there, but none of the nat table's."""
    seen = outdated()
    seen.hops.append(replace(expected(seen.world, seen.probe).hops[4], chains=(Passage("ip", "filter", "FORWARD"),)))
    return seen


HIDING = Route("10.244.2.0/24", type="blackhole")


def refusing(seen):
    return told(seen, "ICMP host unreachable").asked("n1", route=Route("10.244.2.0/25", type="unreachable"))


def told(seen, error):
    """Refused where it was seen last, and an error of some bytes comes back."""
    refusal = replace(seen.hops[-1], kind="reject", interface="", translation=None, verdict=error)
    back = [replace(hop, way=BACK, packet=hop.packet._replace(size=96)) for hop in reversed(seen.hops)]
    seen.hops += [refusal, *back]
    return seen


def tunnelled(**changes):
    return Seen().until("tunnel", "n1").last(**changes)


def through_another_gateway():
    seen = Seen().until("link", "n1")
    return replace_route(seen, Route("10.244.2.0/24", "n1-eth0", "172.18.0.9"))


def replace_route(seen, route):
    seen.hops = [replace(hop, route=route) if (hop.kind, hop.site) == ("route", "n1") else hop for hop in seen.hops]
    return seen.asked("n1", route=route)


def lossy():
    seen = Seen().until("link", "n1")
    return seen.last(queue="100% loss")


#: what is broken → what is seen, the culprit, and how the sentence begins
CASES = {
    "no route on a machine": (
        lambda: Seen().until("nat", "n1").asked("n1", route=None),
        *("no-route", "n1 has no route to 10.244.2.5."),
    ),
    "another route": (
        through_another_gateway,
        *("no-route", "n1 has another route to 10.244.2.0/24: 10.244.2.0/24 via 172.18.0.9 dev n1-eth0."),
    ),
    "no route in a pod": (
        lambda: Seen().until("leave", CLIENT).last(kind="route", interface="", verdict="unreachable"),
        *("no-route", "Pod default/client has no route to 10.96.0.80."),
    ),
    "a route that refuses": (
        lambda: refusing(Seen(destination=FAR_POD).until("enter", "n1")),
        *("no-route", "n1 refuses what is for 10.244.2.5, by the route unreachable 10.244.2.0/25."),
    ),
    "a route that hides what the address was translated to": (
        lambda: Seen().until("enter", "n1").asked("n1", translated={FAR_POD: HIDING, NEAR_POD: Route("", "cni0")}),
        "no-route",
        "n1 drops what is for 10.244.2.5, to which it has translated 10.96.0.80:80, by the route blackhole 10.244.2.0/",
    ),
    "no route to what the address was translated to": (
        lambda: Seen().until("enter", "n1").asked("n1", translated={FAR_POD: None}),
        *("no-route", "n1 has no route to 10.244.2.5, to which it has translated 10.96.0.80:80."),
    ),
    "no route back": (
        lambda: Seen().until("enter", WEB).asked(WEB, answer=None),
        *("no-route", "Pod default/web has no route to 10.244.1.7: its answer cannot leave."),
    ),
    "no route back from a machine": (
        lambda: Seen(destination="172.18.0.5").until("enter", "client").asked("client", answer=None),
        *("no-route", "client has no route to 172.18.0.3: its answer cannot leave."),
    ),
    "no neighbour": (
        lambda: Seen().until("filter", "n1").asked("n1", neighbour=None),
        "no-neighbour",
        "n1 does not know the hardware address of 10.244.2.0 on flannel.1 (ARP is not answered across a VXLAN",
    ),
    "a wrong neighbour": (
        lambda: Seen().until("link", "n1").asked("n1", neighbour=Neighbour("10.244.2.0", "flannel.1", WRONG)),
        *("no-neighbour", f"n1 takes {WRONG} for the hardware address of 10.244.2.0 on flannel.1."),
    ),
    "no forwarding entry": (
        lambda: tunnelled(encapsulation=None, fdb=None),
        *("no-fdb", "n1 has no forwarding entry for 5e:40:24:34:76:fc on flannel.1"),
    ),
    "another machine's": (
        lambda: tunnelled(encapsulation=Encapsulation(1, "172.18.0.3", "172.18.0.9", 8472, 50)),
        *("no-fdb", "n1 tunnels it to 172.18.0.9, which is not where 5e:40:24:34:76:fc is."),
    ),
    "no forwarding": (
        lambda: Seen().until("nat", "n1").asked("n1", sysctls={**SYSCTLS, "net.ipv4.ip_forward": "0"}),
        *("forwarding", "n1 does not forward packets of others, as net.ipv4.ip_forward is 0."),
    ),
    "the tunnel's device is down": (
        lambda: Seen().until("filter", "n1").link("n1", "flannel.1", up=False),
        *("link-down", "flannel.1 of n1 is down."),
    ),
    "a pod's port is down": (
        lambda: Seen().until("filter", "n2").link("n2", veth_name("default/web"), up=False),
        *("link-down", "veth5887b110 of n2 is down."),
    ),
    "a pod's interface has no carrier": (
        lambda: Seen().until("leave", "n2").link(WEB, "eth0", carrier=False),
        *("link-down", "eth0 of pod default/web has no carrier."),
    ),
    "too large for the tunnel": (
        lambda: Seen(size=1450).until("filter", "n1").link("n1", "flannel.1", mtu=1400),
        *("mtu", "1450 bytes are too much for flannel.1 of n1, whose MTU is 1400."),
    ),
    "too large for the tunnel, of which its sender is told": (
        lambda: told(Seen(size=1450).until("nat", "n1"), "ICMP fragmentation needed").link("n1", "flannel.1", mtu=1400),
        *("mtu", "1450 bytes are too much for flannel.1 of n1, whose MTU is 1400."),
    ),
    "too large for the other machine": (
        lambda: Seen(size=1450).until("link", "s1").link("n2", "n2-eth0", mtu=1400),
        *("mtu", "1500 bytes (1450 and 50 around it) are too much for n2-eth0 of n2, whose MTU is 1400."),
    ),
    "a link's loss": (lossy, "impairment", "The link n1–s1 lost it, as it is told to: 100% loss."),
    "a connection of before": (
        stale,
        *("stale-conntrack", "n1 still tracks an earlier connection of the same ports, and sends this to 10.244.2.77"),
    ),
    "the same, by what rules do not say": (
        of_an_old_flow,
        *("stale-conntrack", "n1 still tracks an earlier connection of the same ports"),
    ),
    "rules of before": (
        outdated,
        *("no-service-rules", "kube-proxy's rules on n1 lead to 10.244.2.77:8080, which is no endpoint."),
    ),
    "an end before it is seen what rules do": (
        lambda: Seen().until("enter", "n1"),
        *("no-route", "n1 has no way to 10.244.2.5:8080."),
    ),
    "no rules": (
        lambda: Seen().without("nat", "n1").until("filter", "n1"),
        *("no-service-rules", "n1 does not translate Service default/web port http: its rules are not there."),
    ),
    "a rule of somebody's": (
        lambda: by_rule(Passage("ip", "filter", "FORWARD"), Rule(7, "-d 10.244.2.5/32 -j DROP")),
        "rule",
        "n1 dropped it by a rule that is not the cluster's, in chain FORWARD (ip filter): -d 10.244.2.5/32 -j DROP.",
    ),
    "kube-proxy's own": (
        lambda: by_rule(Passage("ip", "filter", "KUBE-SERVICES"), Rule(7, "REJECT", "default/web:http has no")),
        *("no-service-rules", "n1 dropped it by chain KUBE-SERVICES (ip filter): kube-proxy has not taken over"),
    ),
    "a policy that has gone": (
        lambda: by_rule(Passage("inet", "knet-policy", "drop-egress"), Rule(7, "drop")),
        *("policy", "n1 dropped it by chain drop-egress (inet knet-policy), though no policy forbids it"),
    ),
    "nobody listens": (
        lambda: Seen().until("enter", WEB).asked(WEB, listening=frozenset({80})),
        *("not-listening", "Nobody listens on tcp port 8080 in pod default/web."),
    ),
    "nobody listens, as a machine that forwards nothing is told": (
        lambda: Seen(destination="172.18.0.5").asked("client", listening=frozenset(), sysctls=OFF),
        *("not-listening", "Nobody listens on tcp port 80 in client."),
    ),
    "a bridge beside the rules": (
        lambda: Seen(chosen=f"{NEAR_POD}:8080")
        .without("nat", "n1", BACK)
        .asked("n1", sysctls={**SYSCTLS, "net.bridge.bridge-nf-call-iptables": "0"}),
        *("bridge-nf", "Frames between pods of n1 do not pass by its rules, as net.bridge.bridge-nf-call-iptables"),
    ),
    "nothing that is known": (
        lambda: Seen().until("untunnel", "n2"),
        *("unknown", "It was seen last at: untunnel n2 flannel.1."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("broken", CASES)
def test_what_was_seen(broken):
    make, culprit, text = CASES[broken]
    found = make().diagnosis()
    assert (found.culprit, found.text[: len(text)]) == (culprit, text)
    assert culprit in CULPRITS


ALLOW = "let a policy allow it: kubectl edit networkpolicy deny -n default"


@pytest.mark.parametrize(
    ("settings", "destination", "outcome", "culprit", "remedy"),
    [
        ({"policies": [DENY]}, FAR_POD, DROPPED, "policy", ALLOW),
        ({}, "10.96.0.81", REFUSED, "no-endpoints", "look for its pods: kubectl describe service empty -n default"),
        ({"topo": topology(down=["n2"])}, FAR_POD, DROPPED, "link-down", "knet link n2 s1 --up"),
        ({"topo": topology(state={"n2": "off"})}, FAR_POD, DROPPED, "machine-off", "knet machine boot n2"),
        ({"topo": topology(state={"n2": "paused"})}, FAR_POD, DROPPED, "machine-off", "knet machine resume n2"),
        ({"topo": topology(partitions=((("n1",), ("n2",)),))}, FAR_POD, DROPPED, "partition", "knet heal"),
        ({}, "10.244.2.99", DROPPED, "no-neighbour", ""),
    ],
)  # fmt: skip
def test_what_the_objects_foretell(settings, destination, outcome, culprit, remedy):
    seen = Seen(world(PODS, SERVICES, SLICES, **settings), destination=destination)
    assert seen.prediction.outcome == outcome
    found = seen.diagnosis(outcome)
    assert (found.culprit, found.remedy) == (culprit, remedy)
    assert found.text.rstrip(".")[1:] == seen.prediction.text[1:]
    assert not found.text.startswith("N2")


def test_a_fault_on_the_way_to_where_it_had_to_end():
    """Policies would refuse it on n2; but it never got there."""
    seen = Seen(world(PODS, SERVICES, SLICES, policies=[DENY]), destination=FAR_POD).until("enter", "n1")
    assert seen.asked("n1", route=None).diagnosis().culprit == "no-route"


def test_a_policy_that_is_not_enforced():
    seen = Seen(world(PODS, SERVICES, SLICES, policies=[DENY]), destination=FAR_POD)
    assert seen.diagnosis(DELIVERED).culprit == "policy"
    seen.asked("n2", sysctls={**SYSCTLS, "net.bridge.bridge-nf-call-iptables": "0"})
    assert seen.diagnosis(DELIVERED).culprit == "bridge-nf"


FLANNELS = "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"
REPAIRED = "flanneld repairs it at its next sync, or now: knet restart network-agent@n1"
DEFAULT = "default via 10.244.2.1 dev eth0"


@pytest.mark.parametrize(
    ("broken", "expected", "remedy"),
    [
        ("a route that refuses", FLANNELS, "knet exec n1 -- ip route del unreachable 10.244.2.0/25"),
        ("a route that hides what the address was translated to", FLANNELS, REPAIRED),
        ("no route back", DEFAULT, "kubectl delete pod web -n default"),
        ("no route back from a machine", "172.18.0.0/24 dev client-eth0 src 172.18.0.5", "knet machine reboot client"),
    ],
)
def test_the_route_that_should_be_there_and_what_mends_it(broken, expected, remedy):
    found = CASES[broken][0]().diagnosis()
    assert (found.expected, found.remedy) == (expected, remedy)


def test_nothing_is_wrong():
    assert Seen().diagnosis(DELIVERED) is None
