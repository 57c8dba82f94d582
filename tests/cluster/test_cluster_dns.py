"""The cluster DNS as pods see it: short names, StatefulSets, aliases, names of others, an API server out of reach."""

import sys
import time
from collections.abc import Iterator

import pytest

from knet import Cluster
from knet.api.objects import JSON
from knet.cluster.facade import Pod
from knet.cluster.handles import Machine

#: seconds until everybody has heard of a change, on a busy machine
PATIENCE = 20
#: of the machine `client` on the default topology with two workers
UPSTREAM = "172.18.0.5"
#: a name server that knows one name
SERVER = """
import socket
from dnslib import RCODE, RR, A, DNSRecord
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
print("serving", flush=True)
while True:
    query, client = server.recvfrom(4096)
    reply = DNSRecord.parse(query).reply()
    if reply.q.qname == "www.example.com" and reply.q.qtype == 1:
        reply.add_answer(RR(reply.q.qname, ttl=60, rdata=A("192.0.2.1")))
    elif reply.q.qname != "www.example.com":
        reply.header.rcode = RCODE.NXDOMAIN
    server.sendto(reply.pack(), client)
"""


def _service(name: str, **spec: object) -> JSON:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


PORTS = [{"name": "http", "port": 80}]
PAUSE = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
OBJECTS: list[JSON] = [
    _service("web", clusterIP="10.96.0.80", ports=PORTS),
    _service("db", clusterIP="None", selector={"app": "db"}, ports=PORTS),
    _service("alias", type="ExternalName", externalName="web.default.svc.cluster.local"),
    _service("outside", type="ExternalName", externalName="www.example.com"),
    {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [PAUSE]}},
        },
    },
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name="dns", workers=2, dns_upstream=UPSTREAM) as cluster:
        server = cluster.machine("client").popen([sys.executable, "-c", SERVER], stdout=-1)
        assert server.stdout is not None and server.stdout.readline() == "serving\n"
        for manifest in OBJECTS:
            cluster.apply(manifest)
        cluster.rollout("statefulset/db")
        yield cluster  # with it the name server ends


@pytest.fixture(scope="module")
def asker(cluster: Cluster) -> Pod:
    return cluster.pod("asker")


def _told(asker: Pod | Machine, name: str, kind: str = "a") -> str:
    """What nslookup prints of the answer."""
    return asker.run(f"busybox nslookup -type={kind} {name} 10.96.0.10", check=False).partition("\n\n")[2].strip()


def _awaited(asker: Pod | Machine, name: str, expected: str) -> None:
    """The watch brings it in a moment; each question takes one."""
    deadline = time.monotonic() + PATIENCE
    while expected not in (found := _told(asker, name)):
        assert time.monotonic() < deadline, found


def test_names_and_answers(cluster: Cluster, asker: Pod) -> None:
    addresses = {pod.name: pod.ip for pod in cluster.pods("app=db")}
    zone = "default.svc.cluster.local"
    _awaited(asker, f"db-1.db.{zone}", addresses["db-1"])
    assert addresses["db-0"] in _told(asker, f"db-0.db.{zone}")
    assert all(address in _told(asker, f"db.{zone}") for address in addresses.values())
    targets = _told(asker, f"_http._tcp.db.{zone}", "srv")
    assert all(f"service = 0 50 80 {name}.db.{zone}" in targets for name in addresses)
    reverse = ".".join(reversed(addresses["db-0"].split("."))) + ".in-addr.arpa"
    assert _told(asker, reverse, "ptr") == f"{reverse}\tname = db-0.db.{zone}"
    assert _told(asker, "80.0.96.10.in-addr.arpa", "ptr").endswith(f"name = web.{zone}")
    assert _told(asker, f"alias.{zone}").splitlines()[0].endswith(f"canonical name = web.{zone}")
    dashed = addresses["db-0"].replace(".", "-")
    assert addresses["db-0"] in _told(asker, f"{dashed}.default.pod.cluster.local")
    assert '"1.1.0"' in _told(asker, "dns-version.cluster.local", "txt")
    assert "NXDOMAIN" in _told(asker, f"nothing.{zone}")
    assert "NXDOMAIN" not in _told(asker, f"web.{zone}", "mx")


def test_short_names_by_the_search_path(asker: Pod) -> None:
    short = {
        "web": "10.96.0.80",
        "web.default": "10.96.0.80",
        "kubernetes": "10.96.0.1",
        "kube-dns.kube-system": "10.96.0.10",
    }
    for name, address in short.items():
        assert asker.run(f"getent ahostsv4 {name}").split()[0] == address
    assert asker.run("hostname -f", check=False).strip() == "asker"


def test_names_of_others_are_asked_of_the_machines_name_server(asker: Pod) -> None:
    assert asker.run("getent ahostsv4 www.example.com").split()[0] == "192.0.2.1"
    assert asker.run("getent ahostsv4 outside").split()[0] == "192.0.2.1"
    assert "NXDOMAIN" in _told(asker, "www.example.org")


def test_two_servers(cluster: Cluster, asker: Pod) -> None:
    cluster.scale("deployment/coredns", 2, namespace="kube-system")
    cluster.rollout("deployment/coredns", namespace="kube-system")
    servers = cluster.pods("k8s-app=kube-dns", "kube-system")
    assert {server.node for server in servers} == {"n1", "n2"}
    for server in servers:
        assert "10.96.0.80" in asker.run(f"busybox nslookup web.default.svc.cluster.local {server.ip}")


def test_what_was_known_is_served_while_the_api_server_is_out_of_reach(cluster: Cluster) -> None:
    asker = cluster.machine("n1")  # the way into a pod leads through the API server
    cluster.partition(["cp1"])
    try:
        cluster.apply(_service("later", clusterIP="10.96.0.81", ports=PORTS))
        assert "10.96.0.80" in _told(asker, "web.default.svc.cluster.local")
        assert "NXDOMAIN" in _told(asker, "later.default.svc.cluster.local")
    finally:
        cluster.heal()
    _awaited(asker, "later.default.svc.cluster.local", "10.96.0.81")
