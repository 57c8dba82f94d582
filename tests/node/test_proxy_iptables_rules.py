"""What only kube-proxy's mode iptables does in a real kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy_harness import BALANCED, BRIDGE, VIP, WEB_1, WEB_2, Lab, made, snapshot

from knet.proxy.chains import chain_name

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with made("iptables", tmp_path) as lab:
        yield lab


def test_a_node_port_is_open_on_loopback(lab: Lab):
    lab.apply(snapshot(WEB_1, node_port=30080))
    assert lab.connect(lab.node, "127.0.0.1", 30080) == ("web-1", BRIDGE)


def test_the_chains_of_an_endpoint_that_is_gone_are_gone(lab: Lab):
    lab.apply(snapshot(WEB_1, WEB_2))
    lab.apply(snapshot(WEB_2))
    assert chain_name("KUBE-SEP-", "default/web:http", "tcp", f"{WEB_1}:8080") not in lab.shell("iptables-save")


def test_sctp_is_translated(lab: Lab):
    lab.apply(snapshot(WEB_1, protocol="SCTP", node_port=30080))
    saved = lab.shell("iptables-save -t nat")
    assert f'-p sctp -m comment --comment "default/web:http" -m sctp -j DNAT --to-destination {WEB_1}:8080' in saved


def test_who_may_not_come_by_a_load_balancer_is_counted(lab: Lab):
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{VIP}/32",)))
    with pytest.raises(TimeoutError):
        lab.connect(lab.outsider, BALANCED, patience=0.2)
    assert int(lab.shell("iptables -vxnL KUBE-PROXY-FIREWALL | awk '/DROP/ {print $1}'")) > 0


def test_a_rule_that_was_replaced_is_put_back(lab: Lab):
    lab.apply(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    lab.shell("iptables -t nat -R KUBE-SERVICES 1 -j RETURN")
    lab.repair(snapshot(WEB_1))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_intact_rules_are_not_written_again(lab: Lab):
    """People read the counters."""
    lab.apply(snapshot(WEB_1))
    lab.connect(lab.pods["client"], VIP)
    counted = lab.shell("iptables -t nat -vxnL KUBE-SERVICES")
    assert VIP in counted
    lab.repair(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    lab.apply(snapshot(WEB_1))
    assert lab.shell("iptables -t nat -vxnL KUBE-SERVICES") == counted
