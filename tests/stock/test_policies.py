"""NetworkPolicies and IPVS: what it has translated it sends itself, past the forward hook."""

from collections.abc import Iterator

import pytest

from knet.cluster.config import POLICY_MODES, PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.kernel import features
from tests.node.policy_harness import CLIENTS, DENY, WEBS, enforce
from tests.node.proxy_harness import CLIENT, OUTSIDER, PATIENCE, VIP, WEB_1, WEB_2, Lab, made, snapshot

#: how much slower the machine is
SLOW = 10 * PATIENCE
#: long enough for a packet that is let pass
SOON = 3


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    features.require(*FEATURES, *PROXY_MODES["ipvs"], *POLICY_MODES["nftables"])
    with made("ipvs", tmp_path_factory.mktemp("policies")) as found:
        found.apply(snapshot(WEB_1, WEB_2))
        yield found


FROM_CLIENTS = {**WEBS, "ingress": [{"from": [CLIENTS], "ports": [{"port": "http"}]}]}
TO_WEBS = {**CLIENTS, "policyTypes": ["Egress"], "egress": [{"to": [WEBS]}]}


def test_a_policy_sees_the_pod_behind_a_virtual_server(lab: Lab):
    client = lab.pods["client"]
    enforce(lab, DENY, FROM_CLIENTS, TO_WEBS)
    assert lab.connect(client, VIP, 80, SLOW)[1] == CLIENT
    with pytest.raises(TimeoutError):
        lab.connect(lab.outsider, VIP, 80, SOON)
    enforce(lab, DENY, TO_WEBS)  # may leave, may not enter
    with pytest.raises(TimeoutError):
        lab.connect(client, VIP, 80, SOON)
    enforce(lab, {**CLIENTS, "policyTypes": ["Egress"]})  # may not leave
    with pytest.raises(TimeoutError):
        lab.connect(client, VIP, 80, SOON)
    assert lab.connect(lab.outsider, VIP, 80, SLOW)[0] in ("web-1", "web-2")
    block = {"ipBlock": {"cidr": f"{OUTSIDER}/32"}}
    enforce(lab, {**WEBS, "ingress": [{"from": [block]}]})
    assert lab.connect(lab.outsider, VIP, 80, SLOW)[0] in ("web-1", "web-2")
    assert lab.connect(lab.node, VIP, 80, SLOW)[0] in ("web-1", "web-2")  # the machine itself
