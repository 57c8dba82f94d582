"""A network that is broken in one place at a time, and `knet trace`, which has to name the culprit.

What repairs the network (flanneld, the policies' enforcer, kube-proxy) is stopped meanwhile, so that each fault lasts
until it is mended here.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from knet import Cluster
from knet.cni.bridge import veth_name
from knet.cni.lease import vtep_mac
from tests.cluster.test_cluster_faults import eventually

REPAIRERS = ("network-agent", "kube-proxy")
#: of the tunnel on n1: its route, its neighbour, its forwarding entry
ROUTE = "{subnet} via {gateway} dev flannel.1 onlink"
NEIGHBOUR = "{gateway} lladdr {vtep} dev flannel.1 nud permanent"
ENTRY = "{vtep} dev flannel.1 dst {n2} self permanent"
BRIDGED, BRIDGED_6 = "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"


SIX = {"family": "IPv6"}


class Fault(NamedTuple):
    """What breaks the network, what mends it, who asks whom, and how the trace ends.

    Commands are for the machine before the colon; {fields} are this cluster's addresses and names.
    """

    breaking: str
    mending: str
    culprit: str
    text: str
    target: str = "svc/web:80"
    cure: str = "flanneld repairs it at its next sync, or now: knet restart network-agent@n1"
    options: dict[str, object] = {}  # noqa: RUF012


FAULTS = {
    "no route": Fault(
        "n1: ip route del {subnet}",
        "n1: ip route add " + ROUTE,
        *("no-route", "n1 has no route to {subnet}, and takes: default dev n1-eth0."),
    ),
    "a wrong route": Fault(
        "n1: ip route replace {subnet} via {cp1} dev n1-eth0",
        "n1: ip route replace " + ROUTE,
        *("no-route", "n1 has another route to {subnet}: {subnet} via {cp1} dev n1-eth0."),
    ),
    "a route that hides an endpoint": Fault(
        "n1: ip route add blackhole {server}",
        "n1: ip route del blackhole {server}",
        "no-route",
        "n1 drops what is for {server}, to which it has translated {web}:80, by the route blackhole {server}/32.",
        cure="knet exec n1 -- ip route del blackhole {server}/32",
    ),
    "a route that refuses": Fault(
        "n1: ip route add unreachable {server}",
        "n1: ip route del unreachable {server}",
        *("no-route", "n1 refuses what is for {server}, by the route unreachable {server}/32."),
        target="pod/web-0:80",
        cure="knet exec n1 -- ip route del unreachable {server}/32",
    ),
    "no neighbour": Fault(
        "n1: ip neigh del {gateway} dev flannel.1",
        "n1: ip neigh replace " + NEIGHBOUR,
        "no-neighbour",
        "n1 does not know the hardware address of {gateway} on flannel.1 "
        "(ARP is not answered across a VXLAN without learning).",
    ),
    "no forwarding entry": Fault(
        "n1: bridge fdb del {vtep} dev flannel.1",
        "n1: bridge fdb add " + ENTRY,
        *("no-fdb", "n1 has no forwarding entry for {vtep} on flannel.1: it leads to nobody."),
    ),
    "a wrong forwarding entry": Fault(
        "n1: bridge fdb replace {vtep} dev flannel.1 dst 172.18.0.99 self permanent",
        "n1: bridge fdb replace " + ENTRY,
        *("no-fdb", "n1 tunnels it to 172.18.0.99, which is not where {vtep} is."),
    ),
    "a tunnel that is down": Fault(
        "n1: ip link set flannel.1 down",
        f"n1: ip link set flannel.1 up && ip route replace {ROUTE} && ip neigh replace {NEIGHBOUR}"
        f" && bridge fdb replace {ENTRY}",
        *("no-route", "n1 has no route to {subnet}, and takes: default dev n1-eth0."),
    ),
    "a pod's port that is down": Fault(
        "n2: ip link set {port} down",
        "n2: ip link set {port} up",
        *("link-down", "{port} of n2 is down."),
        cure="knet exec n2 -- ip link set {port} up",
    ),
    "no forwarding": Fault(
        "n1: sysctl -w net.ipv4.ip_forward=0",
        "n1: sysctl -w net.ipv4.ip_forward=1",
        *("forwarding", "n1 does not forward packets of others, as net.ipv4.ip_forward is 0."),
    ),
    "a bridge beside the rules": Fault(
        f"n1: sysctl -w {BRIDGED}=0",
        f"n1: sysctl -w {BRIDGED}=1",
        *("bridge-nf", f"Frames between pods of n1 do not pass by its rules, as {BRIDGED} is 0."),
        target="svc/near:80",
    ),
    "a wrong MTU": Fault(
        "n2: ip link set n2-eth0 mtu 1300",
        "n2: ip link set n2-eth0 mtu 1500",
        *("mtu", "1478 bytes (1428 and 50 around it) are too much for n2-eth0 of n2, whose MTU is 1300."),
        target="pod/web-0",
        cure="knet exec n2 -- ip link set n2-eth0 mtu 1500",
        options={"protocol": "icmp", "size": 1400},
    ),
    "somebody's rule": Fault(
        "n1: iptables -I FORWARD -p tcp --dport 80 -j DROP",
        "n1: iptables -D FORWARD -p tcp --dport 80 -j DROP",
        "rule",
        "n1 dropped it by a rule that is not the cluster's, in chain FORWARD (ip filter): "
        "-p tcp -m tcp --dport 80 -j DROP.",
        cure="knet exec n1 -- nft delete rule ip filter FORWARD handle N",
    ),
    "somebody's rule that tells": Fault(
        "n1: iptables -I FORWARD -p tcp --dport 80 -j REJECT",
        "n1: iptables -D FORWARD -p tcp --dport 80 -j REJECT",
        *("rule", "n1 rejected it by a rule that is not the cluster's, in chain FORWARD (ip filter): "),
        cure="knet exec n1 -- nft delete rule ip filter FORWARD handle N",
    ),
    "no rules": Fault(
        "n1: iptables-save -t nat > /run/nat && iptables -t nat -F KUBE-SERVICES",
        "n1: iptables-restore < /run/nat",
        *("no-service-rules", "n1 does not translate Service default/web port http: its rules are not there."),
        cure="knet restart kube-proxy@n1, if it runs: knet components",
    ),
    "a tracked connection": Fault(
        "n1: conntrack -I -p udp -s {client} -d {dns} --sport 4000 --dport 53 --dst-nat {gone}:53 -t 60",
        "n1: conntrack -D -p udp -s {client}",
        *("stale-conntrack", "n1 still tracks an earlier connection of the same ports, and sends this to {gone}:53"),
        target="dns",
        cure="knet exec n1 -- conntrack -D -p udp -s {client} --sport 4000",
        options={"source_port": 4000},
    ),
    "no default route in the pod": Fault(
        "client: ip route del default",
        "client: ip route add default via {bridge}",
        *("no-route", "Pod default/client has no route to {web}."),
        cure="kubectl delete pod client -n default",
    ),
    "no way back from the pod": Fault(
        "web-0: ip route del default",
        "web-0: ip route add default via {far_bridge}",
        *("no-route", "Pod default/web-0 has no route to {client}: its answer cannot leave."),
        cure="kubectl delete pod web-0 -n default",
    ),
    "a port that it does not have": Fault(
        *("", "", "no-such-port", "Service default/web does not serve 81/tcp, but 80/tcp."),
        target="svc/web:81",
        cure="ask a port that it has: kubectl get service web -n default",
    ),
    "nobody listens": Fault(
        *("", "", "not-listening", "Nobody listens on tcp port 8081 in pod default/web-0."),
        target="svc/wrong:80",
        cure="set its targetPort right: kubectl edit service wrong -n default",
    ),
    "no endpoints": Fault(
        *("", "", "no-endpoints", "Service default/empty has no endpoints."),
        target="svc/empty:80",
        cure="look for its pods: kubectl describe service empty -n default",
    ),
    "a policy": Fault(
        *("", "", "policy", "Ingress is not allowed by NetworkPolicy default/deny-all."),
        target="pod/closed:80",
        cure="let a policy allow it: kubectl edit networkpolicy deny-all -n default",
    ),
    "IPv6, no route": Fault(
        "n1: ip route del {subnet6}",
        "n1: ip route add {subnet6} via {gateway6} dev flannel-v6.1 onlink",
        *("no-route", "n1 has no route to {subnet6}, and takes: ::/0 dev n1-eth0."),
        options=SIX,
    ),
    "IPv6, a route that hides an endpoint": Fault(
        "n1: ip route add blackhole {server6}",
        "n1: ip route del blackhole {server6}",
        *("no-route", "n1 drops what is for {server6}, to which it has translated [{web6}]:80, by the route blackhole"),
        cure="knet exec n1 -- ip route del blackhole {server6}/128",
        options=SIX,
    ),
    "IPv6, no neighbour": Fault(
        "n1: ip neigh del {gateway6} dev flannel-v6.1",
        "n1: ip neigh replace {gateway6} lladdr {vtep6} dev flannel-v6.1 nud permanent",
        "no-neighbour",
        "n1 does not know the hardware address of {gateway6} on flannel-v6.1 "
        "(neighbour discovery is not answered across a VXLAN without learning).",
        options=SIX,
    ),
    "IPv6, a packet that is too big": Fault(
        "n1: ip link set flannel-v6.1 mtu 1300",
        "n1: ip link set flannel-v6.1 mtu 1430",
        *("mtu", "1398 bytes are too much for flannel-v6.1 of n1, whose MTU is 1300."),
        target="pod/web-0",
        cure="knet exec n1 -- ip link set flannel-v6.1 mtu 1430",
        options={**SIX, "protocol": "icmp", "size": 1350},
    ),
    "IPv6, a bridge beside the rules": Fault(
        f"n1: sysctl -w {BRIDGED_6}=0",
        f"n1: sysctl -w {BRIDGED_6}=1",
        *("bridge-nf", f"Frames between pods of n1 do not pass by its rules, as {BRIDGED_6} is 0."),
        target="svc/near:80",
        options=SIX,
    ),
    "IPv6, no way back from the pod": Fault(
        "web-0: ip -6 route del default",
        "web-0: ip -6 route add default via {far_bridge6}",
        *("no-route", "Pod default/web-0 has no route to {client6}: its answer cannot leave."),
        cure="kubectl delete pod web-0 -n default",
        options=SIX,
    ),
    "IPv6, no endpoints": Fault(
        *("", "", "no-endpoints", "Service default/empty has no endpoints."),
        target="svc/empty:80",
        cure="look for its pods: kubectl describe service empty -n default",
        options=SIX,
    ),
    "IPv6, a policy": Fault(
        *("", "", "policy", "Ingress is not allowed by NetworkPolicy default/deny-all."),
        target="pod/closed:80",
        cure="let a policy allow it: kubectl edit networkpolicy deny-all -n default",
        options=SIX,
    ),
}


def pod(name: str, machine: str, image: str = "traefik/whoami", **container: object) -> dict[str, object]:
    spec = {"nodeName": machine, "containers": [{"name": "c", "image": image, **container}]}
    metadata = {"name": name, "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {**spec, "terminationGracePeriodSeconds": 0},
    }


def service(called: str, app: str, **port: object) -> dict[str, object]:
    spec = {"ipFamilyPolicy": "PreferDualStack", "selector": {"app": app}, "ports": [{"port": 80, **port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": called}, "spec": spec}


DENY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {"matchLabels": {"app": "closed"}}},
}
POWER = {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
TOOLS = {"image": "nicolaka/netshoot", "command": ["sleep", "inf"], **POWER}
OBJECTS = [
    pod("client", "n1", **TOOLS),
    pod("near", "n1"),
    pod("web-0", "n2", **POWER),
    pod("closed", "n2"),
    service("web", "web-0", name="http"),
    service("near", "near"),
    service("wrong", "web-0", targetPort=8081),
    service("empty", "nobody"),
    DENY,
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name="trace-faults", workers=2, ip_family="dual") as running:
            for body in OBJECTS:
                running.apply(body)
            for name in ("client", "near", "web-0", "closed"):
                running.wait(f"pod/{name}", "Ready")
            eventually(lambda: not differences(running), "the network is not as it should be yet")
            repairers(running, "STOP")
            yield running
            repairers(running, "CONT")


def differences(cluster: Cluster) -> list[str]:
    """What is not as predicted: everybody gets where he wants to, policies are in force."""
    found = []
    for target, outcome in (("svc/web:80", "delivered"), ("svc/near:80", "delivered"), ("pod/closed:80", "dropped")):
        trace = cluster.trace("pod/client", target)
        found += [f"{target} {trace.outcome}: {trace.diagnosis}"] if trace.outcome != outcome else []
        found += [f"{target} {row.text} at {trace.hops[row.at]}" for row in trace.findings]
    return found


def repairers(cluster: Cluster, signal: str) -> None:
    for row in cluster.status()["components"]:
        if row["name"] in REPAIRERS:
            cluster.machine(row["machine"]).run(f"kill -{signal} {row['pid']}")


@pytest.fixture(scope="module")
def facts(cluster: Cluster) -> dict[str, str]:
    """What stands for the names in braces."""
    found = {row["name"]: row["address"] for row in cluster.status()["machines"]}
    subnets = {name: cluster.get(f"node/{name}", "")["spec"]["podCIDR"] for name in ("n1", "n2")}
    found |= {"subnet": subnets["n2"], "gateway": subnets["n2"].partition("/")[0], "vtep": vtep_mac("n2")}
    found |= {"bridge": subnets["n1"].replace(".0/24", ".1"), "far_bridge": subnets["n2"].replace(".0/24", ".1")}
    found |= {"gone": subnets["n2"].replace(".0/24", ".99"), "dns": "10.96.0.10"}
    found |= {"client": cluster.pod("client").ip, "server": cluster.pod("web-0").ip}
    found["web"], found["web6"] = cluster.get("service/web")["spec"]["clusterIPs"]
    subnets = {name: cluster.get(f"node/{name}", "")["spec"]["podCIDRs"][1] for name in ("n1", "n2")}
    found |= {"subnet6": subnets["n2"], "gateway6": subnets["n2"].partition("/")[0], "vtep6": vtep_mac("n2", "IPv6")}
    found["far_bridge6"] = f"{found['gateway6']}1"
    for role, name in (("client6", "client"), ("server6", "web-0")):
        found[role] = cluster.get(f"pod/{name}")["status"]["podIPs"][1]["ip"]
    found["port"] = veth_name("default/web-0")
    return found


def run(cluster: Cluster, command: str) -> None:
    """On a machine, or in a pod."""
    place, _, words = command.partition(": ")
    if words:
        (cluster.pod(place).run if place in ("client", "web-0") else cluster.machine(place).run)(words)


@pytest.mark.parametrize("name", FAULTS)
def test_the_trace_names_the_culprit(cluster: Cluster, facts: dict[str, str], name: str) -> None:
    fault = FAULTS[name]
    run(cluster, fault.breaking.format(**facts))
    try:
        found = cluster.trace("pod/client", fault.target, **fault.options).diagnosis
    finally:
        run(cluster, fault.mending.format(**facts))
    assert found is not None
    cure = re.sub(r"handle \d+", "handle N", found.remedy)
    told = fault.text.format(**facts)
    assert (found.culprit, found.text[: len(told)], cure) == (fault.culprit, told, fault.cure.format(**facts))


def test_a_bridge_that_does_not_know_the_way_sends_it_everywhere(cluster: Cluster) -> None:
    cluster.machine("n2").run("ip link set cni0 type bridge fdb_flush")
    trace = cluster.trace("pod/client", "svc/web:80")
    assert (trace.findings, trace.diagnosis) == ((), None)


class Outage(NamedTuple):
    """A fault of the underlay: how it is brought about and ended."""

    begin: Callable[[Cluster], None]
    end: Callable[[Cluster], None]
    culprit: str
    text: str
    cure: str


OUTAGES = {
    "a cut cable": Outage(
        lambda cluster: cluster.link("n2", "s1").down(),
        lambda cluster: cluster.link("n2", "s1").up(),
        *("link-down", "The link n2–s1 is down.", "knet link n2 s1 --up"),
    ),
    "a partition": Outage(
        lambda cluster: cluster.partition(["n1"], ["n2"]),
        lambda cluster: cluster.heal(),
        *("partition", "n1 and n2 are kept apart by the partition n1 | n2.", "knet heal"),
    ),
    "a paused machine": Outage(
        lambda cluster: cluster.machine("n2").pause(),
        lambda cluster: cluster.machine("n2").resume(),
        *("machine-off", "n2 is paused.", "knet machine resume n2"),
    ),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_the_trace_names_what_is_wrong_with_the_underlay(cluster: Cluster, name: str) -> None:
    outage = OUTAGES[name]
    outage.begin(cluster)
    try:
        found = cluster.trace("pod/client", "svc/web:80").diagnosis
    finally:
        outage.end(cluster)
    assert found is not None
    assert (found.culprit, found.text, found.remedy) == (outage.culprit, outage.text, outage.cure)


def test_nothing_is_left_of_all_this(cluster: Cluster) -> None:
    eventually(lambda: not differences(cluster), "the network is not as it was: a paused Node has to be Ready again")
