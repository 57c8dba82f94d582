"""What only kube-proxy's mode nftables does in a real kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy_harness import BALANCED, CLIENT, EXTERNAL, NODE, VIP, WEB_1, WEB_2, Lab, made, snapshot

from knet.api.objects import ServicePort
from knet.cluster.config import PROXY_MODES
from knet.kernel import features, nft
from knet.kernel.namespaces import create, run_in
from knet.proxy.modes import MODES, Choices
from knet.proxy.nftables.text import render
from knet.proxy.snapshot import Snapshot, build
from tests.cluster_objects import endpoint_slice, service

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with made("nftables", tmp_path) as lab:
        yield lab


def test_a_kernel_that_takes_the_rules_is_not_refused(lab: Lab):
    lab.apply(snapshot(WEB_1, WEB_2, sticky=600))
    assert features.missing(PROXY_MODES["nftables"]) == []


def everything(family: int) -> Snapshot:
    """Services with all that can be said of one, in one address family."""
    more = {"externalIPs": (EXTERNAL, "2001:db8::7"), "balanced": [BALANCED, "2001:db8::8"]}
    ports = [ServicePort(name="http", port=80, nodePort=30080)]
    ranges = ("203.0.113.0/25", "203.0.113.0/24", "172.18.0.0/24", "2001:db8:1::/48", "fd00::/8")
    services = [
        service("web", VIP, ports, more_ips=("fd00:10:96::80",), loadBalancerSourceRanges=ranges, **more),
        service("sticky", "10.96.0.81", more_ips=("fd00:10:96::81",), sticky=600),
        service("idle", "10.96.0.82", more_ips=("fd00:10:96::82",)),
    ]
    slices = [
        endpoint_slice(name, *addresses, family=version, suffix=version.lower())
        for name in ("web", "sticky")
        for version, addresses in (
            ("IPv4", (WEB_1, WEB_2)),
            ("IPv6", ("fd00:10:244:1::2", "fd00:10:244:2::2")),
        )
    ]
    addresses = {4: (NODE, "10.244.0.0/16"), 6: ("fd00:172:18::11", "fd00:10:244::/48")}
    return build(services, slices, "n1", *addresses[family], family=family)


@pytest.mark.parametrize("family", [4, 6])
def test_what_the_kernel_is_told_is_what_the_text_says(lab: Lab, family: int):
    keyword = {4: "ip", 6: "ip6"}[family]
    lab.applier = MODES["nftables"](Choices(family))
    lab.apply(everything(family))
    told = lab.shell(f"nft list table {keyword} kube-proxy")
    machine = create("net")
    try:
        run_in(machine, lambda: nft.apply(render(everything(family))))
        read = run_in(machine, lambda: nft.listing(keyword, "kube-proxy"))
        assert f"{VIP if family == 4 else 'fd00:10:96::80'} . tcp . 80" in told
        assert _as_sets(run_in(lab.node, lambda: nft.listing(keyword, "kube-proxy"))) == _as_sets(read)
    finally:
        machine.close()


def _as_sets(rows: list[dict[str, object]]) -> list[str]:
    """A listing without what depends on the order in which things were made."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if key != "handle"}
        return sorted(map(repr, map(plain, value))) if isinstance(value, list) else value

    return sorted(repr(plain(row)) for row in rows)


def test_a_client_stays_with_its_pod_whatever_happens_to_the_proxy(lab: Lab):
    lab.apply(snapshot(WEB_1, WEB_2, sticky=600))
    mine, seen = lab.connect(lab.pods["client"], VIP)
    assert seen == CLIENT

    def stays() -> bool:
        return {lab.connect(lab.pods["client"], VIP)[0] for _ in range(12)} == {mine}

    assert stays()
    lab.shell("nft flush chain ip kube-proxy nat-prerouting")
    lab.repair(snapshot(WEB_1, WEB_2, sticky=600))
    assert stays()
    lab.applier = MODES["nftables"]()
    lab.apply(snapshot(WEB_1, WEB_2, sticky=300))
    assert stays()
    other = {"web-1": WEB_2, "web-2": WEB_1}[mine]
    lab.apply(snapshot(other, sticky=300))
    assert lab.connect(lab.pods["client"], VIP)[0] != mine


def test_intact_rules_are_not_written_again(lab: Lab):
    """Whatever else happens in the machine's ruleset; people read counters, and follow changes by nft monitor."""
    lab.apply(snapshot(WEB_1, WEB_2))
    for _ in range(2):
        lab.shell("iptables -A FORWARD -s 192.0.2.1 -j DROP; nft add table ip mine")
        before = lab.shell("nft -a list table ip kube-proxy")
        lab.repair(snapshot(WEB_1, WEB_2))
    assert lab.shell("nft -a list table ip kube-proxy") == before
