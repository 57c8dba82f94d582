"""NetworkPolicies' rules in a real kernel: what it takes, what it lets pass, what it says about the rest.

The machine and its pods: `tests/node/proxy_harness.py`; policies for them: `tests/node/policy_harness.py`.
"""

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from knet.kernel import nft
from knet.kernel.namespaces import Namespaces, create, run_in
from knet.kernel.nflog import Nflog, NflogError
from knet.policy import transaction
from knet.policy.applier import Applier
from knet.policy.drops import Drop, logged, remembered
from knet.policy.table import FAMILY, LOG_GROUP, NAME
from tests.node.policy_harness import CLIENTS, DENY, WEBS, compiled, enforce
from tests.node.proxy_harness import (
    CLIENT,
    NODE,
    OUTSIDER,
    PATIENCE,
    VIP,
    WEB_1,
    WEB_2,
    Lab,
    made,
    snapshot,
    udp_socket,
)
from tests.unit.policy_model import Cluster
from tests.unit.test_policy_truth import clusters, table

pytestmark = pytest.mark.root

WEB_1_V6, CLIENT_V6 = "fd00:10:244:1::2", "fd00:10:244:1::4"
#: long enough for a packet that is let pass
SOON = 0.3


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with made("iptables", tmp_path) as lab:
        lab.apply(snapshot(WEB_1, WEB_2))
        yield lab


def reaches(lab: Lab, source: Namespaces, address: str, port: int = 8080) -> bool:
    try:
        lab.connect(source, address, port, SOON)
    except TimeoutError:
        return False
    return True


def pings(source: Namespaces, address: str) -> bool:
    command = ["ping", "-c1", "-W0.3", address]
    return run_in(source, lambda: subprocess.run(command, capture_output=True, check=False)).returncode == 0


def test_pods_on_one_bridge_are_kept_apart_and_their_machine_is_not(lab: Lab):
    client, web = lab.pods["client"], lab.pods["web-1"]
    assert reaches(lab, client, WEB_1)
    enforce(lab, DENY)
    for source, address in ((client, WEB_1), (client, WEB_2), (lab.outsider, WEB_1)):
        assert not reaches(lab, source, address)
        assert not pings(source, address)
    assert reaches(lab, lab.node, WEB_1)  # the kubelet's probes
    assert pings(client, NODE)  # and a pod's way to its machine
    assert reaches(lab, web, WEB_1)  # nobody is kept from himself
    assert not reaches(lab, client, VIP, 80)
    enforce(lab)
    assert reaches(lab, client, WEB_1)
    assert nft_listing(lab) is None  # no policy, nothing in the kernel


def test_what_is_allowed_passes_by_services_too(lab: Lab):
    client, web = lab.pods["client"], lab.pods["web-1"]
    enforce(
        lab,
        DENY,
        {**WEBS, "ingress": [{"from": [CLIENTS], "ports": [{"port": "http"}]}]},
        {**CLIENTS, "policyTypes": ["Egress"], "egress": [{"to": [WEBS], "ports": [{"port": 8000, "endPort": 8080}]}]},
    )
    assert reaches(lab, client, WEB_1)
    assert lab.connect(client, VIP)[1] == CLIENT  # a policy sees the pod behind the Service
    assert not reaches(lab, web, WEB_2)
    assert not reaches(lab, lab.outsider, WEB_1)


def test_a_pod_reaches_itself_by_its_service(lab: Lab):
    lab.apply(snapshot(WEB_1))
    enforce(lab, DENY)
    assert lab.connect(lab.pods["web-1"], VIP)[0] == "web-1"
    assert not reaches(lab, lab.pods["web-2"], VIP, 80)


def test_ipv6_finds_its_neighbours_and_no_more(lab: Lab):
    """Neighbour discovery passes the forward hook of a bridge; the pods have no link-local addresses to do it from."""
    web, client = lab.pods["web-1"], lab.pods["client"]
    for pod, address in ((web, WEB_1_V6), (client, CLIENT_V6)):
        run_in(
            pod,
            lambda address=address: subprocess.check_call(
                ["ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad"]
            ),
        )
    friends = {
        "podSelector": {},
        "ingress": [{"from": [{"ipBlock": {"cidr": f"{CLIENT_V6}/128"}}], "ports": [{"port": 8081}]}],
    }
    with ExitStack() as stack:
        for port in (8081, 8082):
            stack.enter_context(
                run_in(web, lambda port=port: socket.create_server(("::", port), family=socket.AF_INET6))
            )
        enforce(lab, DENY)
        assert not pings(client, WEB_1_V6)
        neighbours = run_in(client, lambda: subprocess.check_output(["ip", "-6", "neigh"], text=True))
        assert re.search(f"^{WEB_1_V6} .* lladdr ", neighbours, re.MULTILINE)
        enforce(lab, friends)
        assert connects_v6(client, 8081)
        assert not connects_v6(client, 8082)


def connects_v6(source: Namespaces, port: int) -> bool:
    with run_in(source, lambda: socket.socket(socket.AF_INET6)) as caller:
        caller.settimeout(SOON)
        try:
            caller.connect((WEB_1_V6, port))
        except TimeoutError:
            return False
        return True


def test_blocks_of_addresses_have_holes(lab: Lab):
    block = {"ipBlock": {"cidr": "172.18.0.0/16", "except": ["172.18.0.48/30"]}}
    enforce(lab, {**WEBS, "ingress": [{"from": [block]}]})
    assert not reaches(lab, lab.outsider, WEB_1)
    block["ipBlock"]["except"] = ["172.18.0.52/30"]
    enforce(lab, {**WEBS, "ingress": [{"from": [block]}]})
    assert reaches(lab, lab.outsider, WEB_1)
    assert not reaches(lab, lab.pods["client"], WEB_1)


def test_connections_outlive_the_policy_that_would_forbid_them(lab: Lab):
    with run_in(lab.pods["client"], socket.socket) as caller:
        caller.settimeout(PATIENCE)
        caller.connect((WEB_1, 8080))
        answering, _ = lab.tcp["web-1"].accept()
        enforce(lab, DENY)
        with answering:
            for one, other in ((caller, answering), (answering, caller)):
                one.sendall(b"!")
                assert other.recv(1) == b"!"
    assert not reaches(lab, lab.pods["client"], WEB_1)


def test_what_is_dropped_can_be_named(lab: Lab):
    enforce(lab, DENY, WEBS)
    client = lab.pods["client"]
    log = run_in(lab.node, lambda: Nflog(LOG_GROUP))
    try:
        with pytest.raises(NflogError, match="nflog group 86: somebody listens to it already"):
            run_in(lab.node, lambda: Nflog(LOG_GROUP))
        assert not reaches(lab, client, WEB_2)
        tcp = Drop("egress", CLIENT, WEB_2, "tcp", 8080, ("default/p0",))
        assert logged(log.read()[0]) == tcp
        assert not pings(client, WEB_1)
        ping = Drop("egress", CLIENT, WEB_1, "icmp", 0, ("default/p0",))
        assert logged(log.read()[0]) == ping
        with run_in(lab.outsider, udp_socket) as caller:
            caller.sendto(b"?", (WEB_1, 53))
        udp = Drop("ingress", OUTSIDER, WEB_1, "udp", 53, ("default/p0", "default/p1"))
        assert logged(log.read()[0]) == udp
    finally:
        log.close()
    found = remembered(nft_listing(lab) or [])
    assert {row._replace(packets=1, seconds=0) for row in found} == {tcp, ping, udp}
    assert all(0 <= row.seconds < 60 for row in found)


def nft_listing(lab: Lab) -> list[dict[str, Any]] | None:
    return run_in(lab.node, lambda: nft.listing(FAMILY, NAME))


@pytest.mark.parametrize(
    "damage",
    [
        "nft flush ruleset",
        f"nft delete table {FAMILY} {NAME}",
        f"nft flush chain {FAMILY} {NAME} ingress",
        f"nft flush map {FAMILY} {NAME} ingress-ipv4",
        f"nft delete element {FAMILY} {NAME} ingress-ipv4 '{{ {WEB_1} }}'",
        f"nft insert rule {FAMILY} {NAME} drop-ingress accept",
        f"nft add chain {FAMILY} {NAME} mine",
        f"nft add element {FAMILY} {NAME} self-ipv4 '{{ {WEB_1} . {CLIENT} }}'",
    ],
)
def test_what_others_break_is_mended(damage: str):
    wanted = compiled(DENY, {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})

    def body() -> None:
        applier = Applier()
        asyncio.run(applier.apply(wanted))
        asyncio.run(applier.repair(wanted))
        left = transaction.held(nft.listing(FAMILY, NAME))
        subprocess.check_call(damage, shell=True)
        assert transaction.held(nft.listing(FAMILY, NAME)) != left
        asyncio.run(applier.repair(wanted))
        assert transaction.held(nft.listing(FAMILY, NAME)) == left

    alone(body)


def test_a_quiet_round_touches_nothing():
    wanted = compiled(DENY)

    def body() -> None:
        applier = Applier()
        asyncio.run(applier.apply(wanted))
        before = nft.listing(FAMILY, NAME)
        for _ in range(3):
            asyncio.run(applier.apply(compiled(DENY)))
            asyncio.run(applier.repair(compiled(DENY)))
        assert nft.listing(FAMILY, NAME) == before  # handles included: no rule was written twice

    alone(body)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clusters(), clusters(), clusters())
def test_differences_lead_where_a_fresh_start_does(one: Cluster, two: Cluster, three: Cluster):
    """The kernel takes every table, and what it holds after three changes is what it would hold of the last alone."""
    tables = [table(cluster, "n1") for cluster in (one, two, three)]

    def body() -> None:
        applier = Applier()
        for wanted in tables:
            asyncio.run(applier.apply(wanted))
            held = transaction.held(nft.listing(FAMILY, NAME))
            assert transaction.plausible(wanted, held)
        nft.apply(str(tables[-1]))
        assert transaction.held(nft.listing(FAMILY, NAME)) == held

    alone(body)


def alone(body: Any) -> None:
    machine = create("net")
    try:
        run_in(machine, body)
    finally:
        machine.close()
