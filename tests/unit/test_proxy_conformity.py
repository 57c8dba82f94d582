"""No packet ever goes to a pod that is not of the Service it was sent to: any Services, any endpoints, all modes."""

from socket import IPPROTO_TCP, IPPROTO_UDP

import iptables_walk
import nft_walk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import Packet

from knet.api.objects import ServicePort
from knet.kernel.ipvs import Server
from knet.proxy import iptables
from knet.proxy.ipvs.servers import servers
from knet.proxy.nftables import text as nftables
from knet.proxy.snapshot import build, usable_endpoints
from tests.cluster_objects import endpoint, endpoint_slice, service

NODE = "172.18.0.11"
SOURCES = {"pod": "10.244.1.200", "pod elsewhere": "10.244.2.200", "outside": "172.18.0.50"}
PROTOCOLS = {"TCP": IPPROTO_TCP, "UDP": IPPROTO_UDP}

policies = st.sampled_from(["Cluster", "Local"])
#: ready, serving, terminating
conditions = st.sampled_from([(True, True, False), (False, False, False), (False, True, True), (False, False, True)])
pods = st.tuples(st.integers(1, 2), st.integers(2, 30), conditions, st.sampled_from([(), ("a",), ("b",)]))
specs = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        "external": st.booleans(),
        "ranges": st.sampled_from([(), ("172.18.0.0/24",), ("192.0.2.0/24",)]),
        "protocol": st.sampled_from(sorted(PROTOCOLS)),
        "policies": st.tuples(policies, policies),
        "sticky": st.sampled_from([0, 600]),
        "pods": st.lists(pods, max_size=4, unique_by=lambda pod: pod[:2]),
        "split": st.integers(0, 4),
    }
)


def cluster(rows):
    """Services with addresses of their own but ports in common; pods may be of several, as labels have it."""
    services, slices = [], []
    for number, row in enumerate(rows):
        outside = row["kind"] != "ClusterIP"
        port = ServicePort(
            name="p", port=80, protocol=row["protocol"], targetPort=8080, nodePort=30000 + number if outside else 0
        )
        external, internal = row["policies"]
        spec = {"externalIPs": (f"192.0.2.{number}",)} if row["external"] else {}
        if row["kind"] == "LoadBalancer":
            spec |= {"balanced": [f"198.51.100.{number}"], "loadBalancerSourceRanges": row["ranges"]}
        if outside or row["external"]:
            spec["externalTrafficPolicy"] = external
        spec |= {"type": row["kind"], "internalTrafficPolicy": internal, "sticky": row["sticky"]}
        services.append(service(f"s{number}", f"10.96.0.{number + 1}", [port], **spec))
        made = [
            endpoint(f"10.244.{node}.{place}", ready, serving, terminating, zones=zones)
            for node, place, (ready, serving, terminating), zones in row["pods"]
        ]
        for part, suffix in ((made[: row["split"]], "a"), (made[row["split"] :], "b")):
            ports = [("p", 8080 + number, row["protocol"])]
            slices.append(endpoint_slice(f"s{number}", *part, ports=ports, suffix=suffix))
    return build(services, slices, "n1", NODE, "10.244.0.0/16", zone="a")


def frontends(port):
    """Where a Service's port is reached."""
    for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
        yield address, port.port
    if port.node_port:
        yield NODE, port.node_port


WALKS = {
    "iptables": (iptables.render, iptables_walk.Ruleset),
    "nftables": (nftables.render, nft_walk.Ruleset),
}


@pytest.mark.parametrize("mode", WALKS)
@settings(deadline=None, max_examples=60)
@given(rows=st.lists(specs, min_size=1, max_size=3))
def test_packets_go_to_pods_of_their_service_or_nowhere(mode, rows):
    render, ruleset = WALKS[mode]
    state = cluster(rows)
    rules = ruleset(render(state), {NODE})
    for port in state.ports.values():
        own = {str(row) for row in usable_endpoints(port).reachable}
        for address, number in frontends(port):
            packets = [Packet(source, address, number, port.protocol.lower()) for source in SOURCES.values()]
            walked = [rules.forwarded(packet) for packet in packets]
            walked.append(rules.sent(Packet(NODE, address, number, port.protocol.lower())))
            for outcomes in walked:
                assert abs(sum(outcomes.values()) - 1) < 1e-6
                for outcome in outcomes:
                    untranslated = outcome.to == f"{address}:{number}"
                    assert outcome.to in own or untranslated, (port.name, outcome, own)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(specs, min_size=1, max_size=3))
def test_virtual_servers_have_real_ones_of_their_service_only(rows):
    state = cluster(rows)
    virtual = dict(servers(state, [NODE], "rr").virtual)
    for port in state.ports.values():
        own = {str(row) for row in usable_endpoints(port).reachable}
        for address, number in frontends(port):
            assert {str(real) for real in virtual.pop(Server(PROTOCOLS[port.protocol], address, number)).reals} <= own
    assert virtual == {}
