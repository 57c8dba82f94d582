"""What components tell a real kernel, read back: the same sections, and line by line the same meaning."""

import asyncio
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from knet.api.networking import NetworkPolicy
from knet.api.objects import ServicePort
from knet.inspect.conntrack import followed, table
from knet.inspect.explain import kernel, picture
from knet.inspect.explain.picture import Picture
from knet.inspect.explain.spelling import meaning
from knet.inspect.places import MACHINE, Site, Spot
from knet.kernel import namespaces, nft, rules
from knet.kernel.namespaces import run_in
from knet.policy import policies
from knet.policy.applier import Applier
from knet.policy.compile import Compiler
from knet.policy.population import NarrowPod, Population, endpoint
from knet.proxy import iptables
from knet.proxy.nftables import text
from knet.proxy.snapshot import build
from tests.cluster_objects import endpoint as serving
from tests.cluster_objects import endpoint_slice, service

pytestmark = pytest.mark.root

UDP = ServicePort(name="", port=53, protocol="UDP", nodePort=30053)
SERVICES = [
    service(
        "web",
        "10.96.0.20",
        [ServicePort(name="http", port=80, nodePort=30080)],
        balanced=["192.0.2.8"],
        loadBalancerSourceRanges=("10.0.0.0/8", "192.0.2.1/32"),
        externalIPs=("192.0.2.7",),
    ),
    service(
        "local", "10.96.0.21", [UDP], balanced=["192.0.2.10"], externalTrafficPolicy="Local", healthCheckNodePort=7
    ),
    service("sticky", "10.96.0.22", [ServicePort(name="x", port=53, protocol="UDP")], sticky=10800),
    service("nobody", "10.96.0.23", [ServicePort(name="x", port=53, nodePort=30055)]),
]
PODS = ["10.244.1.2", "10.244.2.2", serving("10.244.2.3")]
SLICES = [
    endpoint_slice("web", *PODS),
    endpoint_slice("local", *PODS, ports=[("", 8053, "UDP")]),
    endpoint_slice("sticky", *PODS, ports=[("x", 8053, "UDP")]),
]
SNAPSHOT = build(SERVICES, SLICES, "n1", "172.18.0.3", "10.244.0.0/16")
FRIENDS: dict[str, Any] = {
    "podSelector": {},
    "ingress": [
        {
            "from": [
                {"podSelector": {"matchLabels": {"role": "friend"}}},
                {"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}},
            ],
            "ports": [{"port": "http"}, {"port": 443}, {"protocol": "UDP", "port": 5000, "endPort": 5999}],
        }
    ],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
    "policyTypes": ["Ingress", "Egress"],
}


def _isolation() -> Any:
    metadata = {"namespace": "default", "name": "web"}
    ports = [{"name": "http", "containerPort": 8080}]
    spec, status = {"nodeName": "n1", "containers": [{"ports": ports}]}, {"podIPs": [{"ip": "10.244.1.2"}]}
    pod = endpoint(msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, NarrowPod), "n1")
    assert pod is not None
    friend = pod._replace(name="friend", addresses=("10.244.2.9",), labels=(("role", "friend"),), local=False)
    policy = policies.read(msgspec.convert({"metadata": metadata, "spec": FRIENDS}, NetworkPolicy))
    return Compiler().table([policy], Population([pod, friend], {"default": {}}))


TABLE = _isolation()


@pytest.mark.parametrize(
    ("proxy", "tell", "wanted"),
    [
        ("iptables", lambda: rules.restore(iptables.render(SNAPSHOT)), picture.of_iptables(SNAPSHOT)),
        ("nftables", lambda: nft.apply(text.render(SNAPSHOT)), picture.of_nftables(SNAPSHOT)),
        ("iptables", lambda: asyncio.run(Applier().apply(TABLE)), picture.of_policies(TABLE)),
    ],
    ids=["iptables", "nftables", "policies"],
)
def test_the_kernel_says_what_it_was_told(proxy: str, tell: Callable[[], None], wanted: Picture) -> None:
    space = namespaces.create("net")
    try:
        run_in(space, tell)
        held = run_in(space, lambda: kernel.read(proxy, (), ("IPv4",)))
    finally:
        space.close()
    assert wanted.keys() <= held.keys()
    for section, lines in wanted.items():
        told = [meaning(section, line) for line in lines]
        assert [meaning(section, row.text) for row in held[section]] == told, section


def test_rules_count() -> None:
    def send() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["iptables", "-A", "OUTPUT", "-d", "127.0.0.7", "-j", "ACCEPT"], check=True)
        subprocess.run(["ping", "-c1", "127.0.0.7"], check=True, capture_output=True)

    space = namespaces.create("net")
    try:
        run_in(space, send)
        held = run_in(space, lambda: kernel.read("iptables", (), ("IPv4",)))
    finally:
        space.close()
    [row] = held[picture.Section("iptables", "filter OUTPUT")]
    assert meaning(picture.Section("iptables"), row.text) == "-d 127.0.0.7 -j ACCEPT"
    assert row.counters == {"packets": 1, "bytes": 84}


def test_connections_are_told_of_as_they_come() -> None:
    def up() -> None:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["iptables", "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT"], check=True)

    def ping() -> None:
        subprocess.run(["ping", "-c1", "127.0.0.7"], check=True, capture_output=True)

    space = namespaces.create("net")
    try:
        run_in(space, up)
        site = Site(Spot(MACHINE, "n1"), "n1", space.fds["net"])
        rows = followed([site])
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(next, rows)
            while not first.done():
                run_in(space, ping)
        row = first.result()
        assert row.place == "n1"
        assert row.tracked is not None
        assert row.tracked.flow.destination == "127.0.0.7"
        assert {row.tracked.flow.destination for row in table([site]) if row.tracked} == {"127.0.0.7"}
    finally:
        space.close()
