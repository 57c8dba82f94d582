"""Clusters of both address families and of IPv6 alone: pods of two machines by pod IP, Service, name and node port."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from knet import Cluster
from knet.api.objects import JSON
from tests.cluster.test_cluster_faults import eventually

pytestmark = pytest.mark.root

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: n2
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: registry.k8s.io/e2e-test-images/agnhost:2.53, args: [netexec], ports: [{containerPort: 8080}],
     readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1},
     env: [{name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}]}
"""


@pytest.fixture(
    scope="module",
    params=[
        {"ip_family": "dual", "topo": "two_racks", "cni": "direct-routing"},
        {"ip_family": "ipv6", "topo": "single", "proxy": "nftables"},
    ],
    ids=lambda options: options["ip_family"],
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(name=f"family-{request.param['ip_family']}", workers=2, **request.param) as cluster:
        cluster.apply(WEB)
        cluster.pod("web")
        eventually(lambda: all(row["endpoints"] for row in _slices(cluster)), "no endpoints")
        yield cluster


def _slices(cluster: Cluster) -> list[JSON]:
    return cluster.objects("endpointslices", selector="kubernetes.io/service-name=web")


def versions(addresses: list[str]) -> list[int]:
    return [ip_address(address).version for address in addresses]


def url(address: str, port: int) -> str:
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def test_every_object_has_an_address_of_each_family(cluster: Cluster) -> None:
    families = {"dual": [4, 6], "ipv6": [6]}[cluster.name.removeprefix("family-")]
    node, pod = cluster.get("node/n2"), cluster.get("pod/web")
    spec, status = cluster.get("service/web")["spec"], pod["status"]
    internal = [row["address"] for row in node["status"]["addresses"] if row["type"] == "InternalIP"]
    ips = [row["ip"] for row in status["podIPs"]]
    assert versions(internal) == versions(ips) == versions(spec["clusterIPs"]) == families
    assert versions([cidr.partition("/")[0] for cidr in node["spec"]["podCIDRs"]]) == families
    assert spec["ipFamilies"] == [f"IPv{family}" for family in families]
    assert ([row["ip"] for row in status["hostIPs"]], status["hostIP"], status["podIP"]) == (
        internal,
        internal[0],
        ips[0],
    )
    assert {row["addressType"]: row["endpoints"][0]["addresses"] for row in _slices(cluster)} == {
        f"IPv{family}": [ip] for family, ip in zip(families, ips, strict=True)
    }
    assert cluster.pod("web").run("echo $IPS").strip() == ",".join(ips)
    hosts = cluster.pod("web").run("cat /etc/hosts")
    assert all(f"{ip}\tweb" in hosts for ip in ips)


def test_packets_take_every_road_in_each_family(cluster: Cluster) -> None:
    client = cluster.pod("client")
    own = [row["ip"] for row in cluster.get("pod/client")["status"]["podIPs"]]
    pod, service = cluster.get("pod/web"), cluster.get("service/web")
    for source, ip, virtual in zip(
        own, [row["ip"] for row in pod["status"]["podIPs"]], service["spec"]["clusterIPs"], strict=True
    ):
        for address, port in ((ip, 8080), (virtual, 80)):
            seen = client.run(f"curl -sg -m 5 {url(address, port)}/clientip")
            assert seen.rpartition(":")[0].strip("[]") == source, address
        family = ip_address(ip).version
        assert client.run(f"curl -s{family} -m 5 http://web/hostname") == "web"
        for node in ("n1", "n2"):
            rows = cluster.get(f"node/{node}")["status"]["addresses"]
            internal = [row["address"] for row in rows if row["type"] == "InternalIP"]
            address = next(row for row in internal if ip_address(row).version == family)
            outside = cluster.machine("client").run(f"curl -sg -m 5 {url(address, 30080)}/hostname")
            assert outside == "web", address
