"""What is predicted of a Service, against where its rendered rules lead packets: the walkers of both modes agree."""

import os

import iptables_walk
import nft_walk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import Outcome, Packet
from worlds import address_of, world

from knet.api.objects import ServicePort
from knet.inspect import desired
from knet.inspect.predict.services import services
from knet.proxy import iptables
from knet.proxy.nftables import text as nftables
from tests.cluster_objects import endpoint, endpoint_slice, service

EXAMPLES = int(os.environ.get("KNET_EXAMPLES", "60"))
NODE, BALANCED, EXTERNAL = address_of("n1"), "172.18.0.200", "192.0.2.7"
WALKS = {
    "iptables": (iptables.render, iptables_walk.Ruleset),
    "nftables": (nftables.render, nft_walk.Ruleset),
}
#: where connections start, and whether on the machine itself; they go to each of these
SOURCES = {"10.244.1.9": False, "10.244.2.9": False, "10.244.1.2": False, "172.18.0.50": False, NODE: True}
TARGETS = [("10.96.0.80", 80), ("10.96.0.80", 81), (EXTERNAL, 80), (BALANCED, 80), (NODE, 30080), ("10.244.1.2", 8080)]

policies = st.sampled_from(["Cluster", "Local"])
endpoints = st.lists(
    st.builds(
        lambda address, ready, terminating: endpoint(address, ready, serving=True, terminating=terminating),
        st.sampled_from(["10.244.1.2", "10.244.1.3", "10.244.2.2"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda row: row.addresses,
)


@st.composite
def cases(draw):
    balanced = draw(st.booleans())
    found = service(
        "web",
        ports=[ServicePort(name="http", port=80, nodePort=30080)],
        externalIPs=(EXTERNAL,),
        balanced=[BALANCED] if balanced else [],
        **({} if balanced else {"type": "NodePort"}),
        internalTrafficPolicy=draw(policies),
        externalTrafficPolicy=draw(policies),
        loadBalancerSourceRanges=draw(st.sampled_from([(), ("172.18.0.0/24",), ("10.244.2.0/24",)])),
    )
    return found, draw(endpoints)


def usable(row):
    return row.conditions.ready or row.conditions.terminating


def predicted(found, source, target, from_here):
    """As the walkers say it."""
    result = found.translated(source, *target, "tcp", from_here)
    if result is None:
        return {Outcome(f"{target[0]}:{target[1]}"): 1}
    if result.verdict:
        return {Outcome(f"{target[0]}:{target[1]}", verdict=result.verdict.upper()): 1}
    share = 1 / len(result.endpoints)
    return {Outcome(str(row), result.masquerades(source, row.ip)): share for row in result.endpoints}


@pytest.mark.parametrize("mode", list(WALKS))
@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_the_rules_lead_where_it_is_predicted(mode, case):
    found, rows = case
    render, ruleset = WALKS[mode]
    cluster = world([], [found], [endpoint_slice("web", *rows)], proxy=mode)
    snapshot, machine = desired.snapshot(cluster, "n1"), services(cluster, "n1", "IPv4")
    rules = ruleset(render(snapshot), {NODE})
    for source, from_here in SOURCES.items():
        for target in TARGETS:
            if from_here and target[0] == NODE and not any(map(usable, rows)):
                continue  # refused when it comes in by lo, where the walkers do not follow it
            walked = (rules.sent if from_here else rules.forwarded)(Packet(source, *target))
            walked = {outcome: pytest.approx(chance, abs=1e-6) for outcome, chance in walked.items()}
            assert predicted(machine, source, target, from_here) == walked, (source, target)
