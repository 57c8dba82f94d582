"""Every road to a Service with real packets: modes of kube-proxy, switched on a running cluster, × backends × roads.

The table: tests/roads.py.  The mode ipvs goes the same roads in the stock kernel: tests/stock/test_roads.py.
"""

from collections.abc import Iterator

import pytest

from knet import Cluster
from tests.cluster import service_roads
from tests.cluster.test_cluster_faults import eventually

MODES = ("iptables", "nftables")


@pytest.fixture(scope="module", params=["vxlan", "host-gw"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name="roads", workers=2, cni=request.param, ingress="nginx") as running:
            service_roads.prepare(running)
            yield running


@pytest.mark.parametrize("mode", [*MODES, MODES[0]])
def test_the_right_pod_answers_and_sees_the_right_address(cluster: Cluster, mode: str) -> None:
    calls = [service_roads.Calls(cluster, client) for client in service_roads.CLIENTS]
    service_roads.switch(cluster, mode)
    assert [each.end() for each in calls] == [{"200"}, {"200"}], "a call failed while the mode changed"
    eventually(lambda: service_roads.balanced(cluster), "a load balancer is not held yet")
    assert service_roads.seen(cluster) == service_roads.expected(cluster)
    assert service_roads.health_checks(cluster) == {"n1": "200, 1 here", "n2": "503, 0 here"}
