"""kube-proxy in a real kernel, whatever its mode: which pod answers, and which address it sees.

The machine and its pods: `tests/node/proxy_harness.py`.
"""

import asyncio
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from proxy_harness import (
    BALANCED,
    BRIDGE,
    CLIENT,
    EXTERNAL,
    NODE,
    OTHER_VIP,
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

from knet.kernel import rules
from knet.kernel.conntrack import Conntrack
from knet.kernel.namespaces import run_in
from knet.proxy.conntrack_cleanup import clean, udp_frontends
from knet.proxy.modes import MODES
from knet.proxy.snapshot import Snapshot, build
from knet.proxy.sync import Applier, Syncer

pytestmark = pytest.mark.root

#: how a mode's rules are listed; nothing in it changes by itself.  (The mode ipvs: tests/stock/test_ipvs.py.)
LISTINGS = {
    "iptables": "iptables-save | sed '/^#/d; s/ \\[.*//'",  # without dates, and the packets that policies have counted
    "nftables": "nft list ruleset ip",
}
#: what others do to the rules of a mode
DAMAGE = {
    "iptables": [
        "iptables -t nat -F",
        "iptables -t nat -F KUBE-SERVICES",
        "iptables -t nat -D PREROUTING 1",
        "iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X",
        "iptables -t nat -A KUBE-MARK-MASQ -j RETURN",
    ],
    "nftables": [
        "nft flush ruleset",
        "nft flush table ip kube-proxy",
        "nft delete table ip kube-proxy; nft add table ip kube-proxy '{ comment \"rules for kube-proxy\"; }'",
        "nft flush map ip kube-proxy service-ips",
        "nft flush chain ip kube-proxy nat-prerouting",
        "nft insert rule ip kube-proxy services return",
        "nft add chain ip kube-proxy mine; nft add rule ip kube-proxy service-2 jump mine",
        f"nft delete element ip kube-proxy service-endpoints-0 '{{ {VIP} . tcp . 80 }}'",
        f"nft add element ip kube-proxy cluster-ips '{{ {CLIENT} }}'",
        "nft delete table ip kube-proxy; nft add table ip kube-proxy; nft add map ip kube-proxy service-ips "
        "'{ type ipv4_addr : verdict; }'; nft add chain ip kube-proxy nat-output "
        "'{ type filter hook input priority 0; }'",
    ],
}


@pytest.fixture(params=list(LISTINGS))
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    with made(request.param, tmp_path) as lab:
        yield lab


def listing(lab: Lab) -> list[str]:
    """The words of a mode's rules, in an order of their own: that of a map's elements changes with what was there."""
    return sorted(re.split(r"[\s,]+", lab.shell(LISTINGS[lab.mode])))


def test_a_service_reaches_all_of_its_pods_which_see_the_clients_address(lab: Lab):
    lab.apply(snapshot(WEB_1, WEB_2))
    answers = {lab.connect(lab.pods["client"], VIP) for _ in range(60)}
    assert answers == {("web-1", CLIENT), ("web-2", CLIENT)}


def test_a_pod_that_reaches_itself_sees_the_machine(lab: Lab):
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.pods["web-1"], VIP) == ("web-1", BRIDGE)


def test_who_comes_from_outside_of_the_cluster_is_masqueraded(lab: Lab):
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.outsider, VIP) == ("web-1", BRIDGE)
    assert lab.connect(lab.node, VIP) == ("web-1", BRIDGE)


def test_a_service_without_endpoints_refuses_at_once(lab: Lab):
    lab.apply(snapshot())
    for source in (lab.pods["client"], lab.node, lab.outsider):
        with pytest.raises(ConnectionRefusedError):
            lab.connect(source, VIP)


def test_a_node_port_is_open_to_the_outside(lab: Lab):
    lab.apply(snapshot(WEB_1, node_port=30080))
    assert lab.connect(lab.outsider, NODE, 30080) == ("web-1", BRIDGE)
    assert lab.connect(lab.node, NODE, 30080) == ("web-1", BRIDGE)
    assert lab.connect(lab.pods["client"], NODE, 30080)[0] == "web-1"
    lab.apply(snapshot(node_port=30080))
    with pytest.raises(ConnectionRefusedError):
        lab.connect(lab.outsider, NODE, 30080)


def test_a_load_balancers_address_is_open_to_its_source_ranges_only(lab: Lab):
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{OUTSIDER}/32",)))
    assert lab.connect(lab.outsider, BALANCED) == ("web-1", BRIDGE)
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{VIP}/32",)))
    with pytest.raises(TimeoutError):
        lab.connect(lab.outsider, BALANCED, patience=0.2)
    assert lab.connect(lab.outsider, VIP) == ("web-1", BRIDGE)


def test_policy_local_keeps_the_address_of_who_comes_from_outside(lab: Lab):
    local = {"balanced": [BALANCED], "externalIPs": (EXTERNAL,), "externalTrafficPolicy": "Local"}
    lab.apply(snapshot(WEB_1, node_port=30080, **local))
    for address, port in ((BALANCED, 80), (EXTERNAL, 80), (NODE, 30080)):
        assert lab.connect(lab.outsider, address, port) == ("web-1", OUTSIDER)


def test_endpoints_come_and_go(lab: Lab):
    lab.apply(snapshot(WEB_1))
    lab.apply(snapshot(WEB_1, WEB_2))
    lab.apply(snapshot(WEB_2))
    assert {lab.connect(lab.pods["client"], VIP)[0] for _ in range(20)} == {"web-2"}


def test_a_deleted_service_leaves_nothing(lab: Lab):
    lab.apply(snapshot(WEB_1))
    alone = listing(lab)
    lab.apply(snapshot(WEB_1, WEB_2, node_port=30080, sticky=10, more=("other",)))
    assert lab.connect(lab.pods["client"], OTHER_VIP)[0] == "web-2"
    lab.apply(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    assert listing(lab) == alone


def test_the_rules_of_others_stay(lab: Lab):
    lab.shell("iptables -t nat -N MINE; iptables -t nat -A MINE -j RETURN; iptables -t nat -I PREROUTING -j MINE")
    lab.shell("nft add table ip mine; nft add chain ip mine c; nft add rule ip mine c accept")
    lab.shell("iptables -A FORWARD -s 192.0.2.1 -j DROP; iptables -t mangle -A PREROUTING -s 192.0.2.2 -j ACCEPT")
    theirs = "-A MINE -j RETURN", "-A PREROUTING -j MINE", "-A FORWARD -s 192.0.2.1/32 -j DROP", "192.0.2.2/32"
    lab.apply(snapshot(WEB_1, more=("other",)))
    lab.apply(snapshot(WEB_1))
    lab.repair(snapshot(WEB_1))
    lab.remove()
    saved = lab.shell("iptables-save")
    assert [rule for rule in theirs if saved.count(rule) != 1] == []
    assert "accept" in lab.shell("nft list table ip mine")


@pytest.mark.parametrize(
    ("lab", "damage"), [(mode, damage) for mode, row in DAMAGE.items() for damage in row], indirect=["lab"]
)
def test_what_others_break_is_repaired(lab: Lab, damage: str):
    lab.apply(snapshot(WEB_1, WEB_2))
    whole = listing(lab)
    lab.shell(damage)
    assert listing(lab) != whole
    lab.repair(snapshot(WEB_1, WEB_2))
    lab.repair(snapshot(WEB_1, WEB_2))  # what nothing leads to any more goes with the next look
    assert listing(lab) == whole
    assert lab.connect(lab.pods["client"], VIP)[1] == CLIENT


@pytest.mark.parametrize(
    ("lab", "damage"), [(mode, damage) for mode, row in DAMAGE.items() for damage in row], indirect=["lab"]
)
def test_a_change_upon_damage_is_in_force_with_the_next_repair(lab: Lab, damage: str):
    lab.apply(snapshot(WEB_1, WEB_2))
    lab.shell(damage)
    lab.apply(snapshot(WEB_1, more=("other",)))
    lab.repair(snapshot(WEB_1, more=("other",)))
    assert lab.connect(lab.pods["client"], VIP) == ("web-1", CLIENT)
    assert lab.connect(lab.pods["client"], OTHER_VIP) == ("web-2", CLIENT)


def test_a_new_proxy_takes_over_what_the_old_one_left(lab: Lab):
    lab.apply(snapshot(WEB_1))
    alone = listing(lab)
    lab.apply(snapshot(WEB_1, WEB_2, sticky=10, more=("other",)))
    lab.applier = MODES[lab.mode]()
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"
    lab.repair(snapshot(WEB_1))
    assert listing(lab) == alone


def test_rules_that_the_kernel_refuses_change_nothing(lab: Lab):
    lab.apply(snapshot(WEB_1))
    whole = listing(lab)
    with pytest.raises(rules.RulesError):
        lab.apply(snapshot("999.244.1.2"))
    assert listing(lab) == whole


def test_a_proxy_that_is_killed_in_the_middle_of_a_sync_leaves_services_working(lab: Lab):
    """Each time by another one, which has to make do with what it finds."""
    names = [f"other-{number}" for number in range(40)]
    lab.apply(snapshot(WEB_1))
    alone = listing(lab)
    for _ in range(5):
        told, tell = os.pipe()
        with run_in(lab.node, partial(_endless, lab.mode, tell, [names[:20], names[20:]])) as proxy:
            os.close(tell)
            for _ in range(3):
                assert os.read(told, 1) == b"."
            proxy.kill()
        os.close(told)
        assert lab.connect(lab.pods["client"], VIP) == ("web-1", CLIENT)
    lab.applier = MODES[lab.mode]()
    for _ in range(2):
        lab.repair(snapshot(WEB_1))
    assert listing(lab) == alone


def _endless(mode: str, tell: int, states: list[list[str]]) -> subprocess.Popen[bytes]:
    """A process that brings the rules from one state to another and back for as long as it lives."""
    program = (
        "import asyncio, itertools, os, sys; from knet.proxy.modes import MODES; "
        "from proxy_harness import WEB_1, snapshot\n"
        f"applier = MODES[{mode!r}]()\n"
        f"for names in itertools.cycle({states!r}):\n"
        "    asyncio.run(applier.apply(snapshot(WEB_1, more=names, sticky=len(names[0]) % 2)))\n"
        f"    os.write({tell}, b'.')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", program], pass_fds=[tell], env=environment)


@pytest.mark.parametrize(
    ("source", "address", "port"),
    [
        ("client", VIP, 80),
        ("client", EXTERNAL, 80),
        ("client", BALANCED, 80),
        ("", NODE, 30080),
        ("client", NODE, 30080),
    ],
)
def test_a_udp_client_is_led_to_another_pod_when_its_own_is_gone(lab: Lab, source: str, address: str, port: int):
    everywhere = {"protocol": "UDP", "node_port": 30080, "externalIPs": (EXTERNAL,), "balanced": [BALANCED]}
    before, after = snapshot(WEB_1, **everywhere), snapshot(WEB_2, **everywhere)
    lab.apply(before)
    with run_in(lab.pods.get(source, lab.outsider), udp_socket) as caller, run_in(lab.node, Conntrack) as conntrack:
        caller.settimeout(PATIENCE)
        caller.connect((address, port))
        assert lab.ask(caller) == "web-1"
        lab.apply(after)
        assert lab.ask(caller) == "web-1"  # the kernel remembers, whatever the rules say by now
        assert clean(conntrack, udp_frontends(before), udp_frontends(after)) == 1
        assert lab.ask(caller) == "web-2"
        assert clean(conntrack, udp_frontends(after), udp_frontends(after)) == 0


def test_a_udp_client_is_led_to_the_first_endpoint_of_its_service(lab: Lab):
    nobody, somebody = build([], [], "n1"), snapshot(WEB_1, protocol="UDP", node_port=30080)
    lab.apply(nobody)
    with run_in(lab.outsider, udp_socket) as caller, run_in(lab.node, Conntrack) as conntrack:
        caller.settimeout(PATIENCE)
        caller.connect((NODE, 30080))
        caller.send(b"too early")
        with pytest.raises(ConnectionRefusedError):  # and the kernel remembers where it went: to the machine itself
            caller.recv(100)
        lab.apply(somebody)
        assert clean(conntrack, udp_frontends(nobody), udp_frontends(somebody)) == 1
        assert lab.ask(caller) == "web-1"


def test_what_a_mode_put_there_goes_with_it(lab: Lab):
    before = "iptables-save | grep -E '^(-A|:KUBE)'; nft list tables | grep kube; true"
    without = lab.shell(before)
    lab.apply(snapshot(WEB_1, node_port=30080, sticky=10))
    for _ in range(2):
        lab.remove()
        assert lab.shell(before) == without
    lab.apply(snapshot(WEB_1))
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_another_mode_takes_over_and_nobody_notices(lab: Lab):
    """Its rules are in force before this one's go: connections stay, and at no moment is a new one refused."""
    state = snapshot(WEB_1, WEB_2, node_port=30080)
    lab.apply(state)
    with run_in(lab.pods["client"], socket.socket) as caller:
        caller.settimeout(PATIENCE)
        caller.connect((VIP, 80))
        ready, _, _ = select.select(lab.tcp.values(), [], [], PATIENCE)
        answerer, peer = ready[0].accept()

        def works() -> None:
            caller.sendall(b"?")
            assert (answerer.recv(1), peer[0]) == (b"?", CLIENT)
            assert {lab.connect(lab.pods["client"], VIP)[1] for _ in range(5)} == {CLIENT}
            assert lab.connect(lab.outsider, NODE, 30080)[1] == BRIDGE

        with answerer:
            for mode in [*LISTINGS, lab.mode]:
                before, lab.applier = lab.applier, MODES[mode]()
                lab.apply(state)
                works()
                if mode != lab.mode:
                    run_in(lab.node, lambda before=before: asyncio.run(before.remove()))
                    works()
                lab.mode = mode


class Reporting:
    """An applier that says when it has brought the rules to a snapshot, or could not."""

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self.done: asyncio.Queue[tuple[str, Snapshot]] = asyncio.Queue()

    async def apply(self, snapshot: Snapshot) -> None:
        try:
            await self._applier.apply(snapshot)
            self.done.put_nowait(("apply", snapshot))
        except rules.RulesError:
            self.done.put_nowait(("refused", snapshot))
            raise

    async def repair(self, snapshot: Snapshot) -> None:
        await self._applier.repair(snapshot)
        self.done.put_nowait(("repair", snapshot))

    async def remove(self) -> None:
        await self._applier.remove()


def in_sync(lab: Lab, period: float, body: Callable[[list[Snapshot], Syncer, Reporting], object]) -> None:
    """Run ``body`` beside a Syncer, which applies the last of the snapshots in a list that begins with an empty one."""

    async def main() -> None:
        states, applier = [build([], [], "n1")], Reporting(lab.applier)
        syncer = Syncer(applier, lambda: states[-1], period)
        task = asyncio.create_task(syncer.run())
        async with asyncio.timeout(30):
            await body(states, syncer, applier)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_in(lab.node, lambda: asyncio.run(main()))


def test_changes_in_a_burst_are_applied_together(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        await applier.done.get()
        for _ in range(100):
            for endpoints in ((WEB_1,), (WEB_1, WEB_2), (WEB_2,)):
                states.append(snapshot(*endpoints))
                syncer.changed()
        assert (await applier.done.get())[1] is states[-1]
        assert applier.done.empty()

    in_sync(lab, 3600, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-2"


def test_damage_is_found_within_the_sync_period(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        states.append(snapshot(WEB_1))
        await applier.done.get()
        await asyncio.to_thread(lab.shell, DAMAGE[lab.mode][0])
        while not applier.done.empty():
            applier.done.get_nowait()
        for _ in range(2):  # one may have looked at the rules before they were damaged
            assert (await applier.done.get())[0] == "repair"

    in_sync(lab, 0.05, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"


def test_a_failed_sync_is_tried_again(lab: Lab):
    async def body(states: list[Snapshot], syncer: Syncer, applier: Reporting) -> None:
        await applier.done.get()
        states.append(snapshot("999.244.1.2"))
        syncer.changed()
        assert (await applier.done.get())[0] == "refused"
        states.append(snapshot(WEB_1))
        assert await applier.done.get() == ("apply", states[-1])

    in_sync(lab, 3600, body)
    assert lab.connect(lab.pods["client"], VIP)[0] == "web-1"
