"""kube-proxy's mode ipvs in a kernel that has IPVS: which pod answers, whom it sees, and what goes when."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from knet.api.families import IPV4
from knet.cluster.config import PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.inspect.explain.kernel import Kernel, read
from knet.inspect.explain.picture import of_ipvs
from knet.inspect.explain.spelling import meaning
from knet.kernel import addresses, features
from knet.kernel.conntrack import Conntrack
from knet.kernel.ipvs import Change, Ipvs, Real, Server, State
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from knet.proxy.conntrack_cleanup import clean, udp_frontends
from knet.proxy.ipvs.servers import INTERFACE
from knet.proxy.modes import MODES, Choices, others
from knet.proxy.snapshot import Snapshot
from tests.node.proxy_harness import (
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

#: how much slower the machine is
SLOW = 10 * PATIENCE
WEB, ONE, TWO = Server(socket.IPPROTO_TCP, VIP, 80), Real(WEB_1, 8080), Real(WEB_2, 8080)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    features.require(*FEATURES, *PROXY_MODES["ipvs"], *PROXY_MODES["nftables"])
    with made("ipvs", tmp_path_factory.mktemp("ipvs")) as found:
        yield found


def reals(lab: Lab, server: Server = WEB) -> dict[Real, State]:
    def look() -> dict[Real, State]:
        with Ipvs() as ipvs:
            return ipvs.reals(server)

    return run_in(lab.node, look)


def sources(lab: Lab, source: str, address: str, port: int = 80) -> set[tuple[str, str]]:
    """Who answers two connections, one after the other to each pod, and whom they see."""
    return {lab.connect(lab.pods.get(source, lab.outsider), address, port, SLOW) for _ in range(2)}


def test_who_answers_and_whom_he_sees(lab: Lab) -> None:
    lab.apply(snapshot(WEB_1, WEB_2))
    assert sources(lab, "client", VIP) == {("web-1", CLIENT), ("web-2", CLIENT)}
    assert sources(lab, "outside", VIP) == {("web-1", BRIDGE), ("web-2", BRIDGE)}
    assert lab.connect(lab.node, VIP, patience=SLOW)[1] == BRIDGE
    lab.apply(snapshot(WEB_1))
    assert sources(lab, "web-1", VIP) == {("web-1", BRIDGE)}
    everywhere = {"externalIPs": (EXTERNAL,), "balanced": [BALANCED]}
    lab.apply(snapshot(WEB_1, node_port=30080, **everywhere))
    for address, port in ((NODE, 30080), (EXTERNAL, 80), (BALANCED, 80)):
        assert sources(lab, "outside", address, port) == {("web-1", BRIDGE)}
    lab.apply(snapshot(WEB_1, node_port=30080, externalTrafficPolicy="Local", **everywhere))
    for address, port in ((NODE, 30080), (EXTERNAL, 80), (BALANCED, 80)):
        assert sources(lab, "outside", address, port) == {("web-1", OUTSIDER)}


def test_what_is_refused(lab: Lab) -> None:
    lab.apply(snapshot())
    for source in (lab.pods["client"], lab.node, lab.outsider):
        with pytest.raises(ConnectionRefusedError):
            lab.connect(source, VIP, patience=SLOW)
    with run_in(lab.node, lambda: socket.create_server(("", 8888))):
        lab.apply(snapshot(WEB_1))
        assert run_in(lab.pods["client"], lambda: socket.create_connection((BRIDGE, 8888), SLOW)).fileno() > 0
        with pytest.raises(ConnectionRefusedError):  # a VIP is the machine's own address, but not for that
            lab.connect(lab.pods["client"], VIP, 8888, SLOW)
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=("10.0.0.0/8",)))
    with pytest.raises(TimeoutError):
        lab.connect(lab.outsider, BALANCED, patience=1)
    assert lab.connect(lab.pods["client"], BALANCED, patience=SLOW)[0] == "web-1"
    lab.apply(snapshot(WEB_1, balanced=[BALANCED], loadBalancerSourceRanges=(f"{OUTSIDER}/32",)))
    assert lab.connect(lab.outsider, BALANCED, patience=SLOW) == ("web-1", BRIDGE)


def test_a_real_server_goes_when_its_connections_have_ended(lab: Lab) -> None:
    lab.apply(snapshot(WEB_1))
    with run_in(lab.pods["client"], lambda: socket.create_connection((VIP, 80), SLOW)) as kept:
        answering, _ = lab.tcp["web-1"].accept()
        lab.apply(snapshot(WEB_2))
        assert reals(lab)[ONE].weight == 0 and reals(lab)[TWO].weight == 1
        assert {name for name, _ in sources(lab, "client", VIP)} == {"web-2"}
        answering.sendall(b"still here")
        assert kept.recv(100) == b"still here"
        lab.apply(snapshot(WEB_1, WEB_2))
        assert {real: state.weight for real, state in reals(lab).items()} == {ONE: 1, TWO: 1}
        answering.close()
    lab.apply(snapshot(more=("other",)))
    assert all(state.weight == 0 for state in reals(lab).values())  # in TIME_WAIT they have some for two minutes
    lab.apply(snapshot(WEB_1, protocol="UDP"))
    assert reals(lab) == {}


def test_a_client_stays_with_its_pod_where_it_is_asked_for(lab: Lab) -> None:
    lab.apply(snapshot(WEB_1, WEB_2, sticky=600))
    assert len(sources(lab, "client", VIP)) == 1
    lab.apply(snapshot(WEB_1, WEB_2))


def test_udp_flows_are_led_to_another_pod(lab: Lab) -> None:
    before, after = snapshot(WEB_1, protocol="UDP"), snapshot(WEB_2, protocol="UDP")
    lab.apply(before)
    with run_in(lab.pods["client"], udp_socket) as caller, run_in(lab.node, Conntrack) as conntrack:
        caller.settimeout(SLOW)
        caller.connect((VIP, 80))
        assert lab.ask(caller) == "web-1"
        lab.apply(after)
        clean(conntrack, udp_frontends(before), udp_frontends(after))
        assert lab.ask(caller) == "web-2"


DAMAGE = {
    "the interface": "ip link delete kube-ipvs0",
    "the rules": "iptables -t nat -F; iptables -F; iptables -X KUBE-IPVS-FILTER; ipset flush",
    "an address": f"ip addr del {VIP}/32 dev kube-ipvs0",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_others_break_is_repaired(lab: Lab, damage: str) -> None:
    lab.apply(snapshot(WEB_1))
    lab.shell(DAMAGE[damage])
    lab.repair(snapshot(WEB_1))
    assert sources(lab, "client", VIP) == {("web-1", CLIENT)}
    assert sources(lab, "outside", VIP) == {("web-1", BRIDGE)}


def test_virtual_servers_that_others_delete_or_make_are_put_right(lab: Lab) -> None:
    lab.apply(snapshot(WEB_1, more=("other",)))

    def meddle() -> None:
        with Ipvs() as ipvs:
            ipvs.carry_out([Change("D", WEB), Change("A", WEB._replace(port=8888))])

    run_in(lab.node, meddle)
    lab.repair(snapshot(WEB_1, more=("other",)))
    assert lab.connect(lab.pods["client"], VIP, patience=SLOW)[0] == "web-1"
    assert lab.connect(lab.pods["client"], OTHER_VIP, patience=SLOW)[0] == "web-2"
    assert run_in(lab.node, lambda: Ipvs().held().keys()) == {WEB, WEB._replace(address=OTHER_VIP)}


def test_the_kernel_says_what_it_was_told(lab: Lab) -> None:
    wanted = snapshot(WEB_1, WEB_2, node_port=30080, externalIPs=(EXTERNAL,), balanced=[BALANCED])
    lab.apply(wanted)

    def look() -> tuple[Kernel, list[str]]:
        with Netlink() as netlink:
            ours = netlink.index(INTERFACE)
            rows = [row for row in addresses.briefly(netlink, 4) if row.scope == "global" and row.link != ours]
        return read("ipvs", (), (IPV4,)), sorted(row.address for row in rows)

    held, own = run_in(lab.node, look)
    for section, lines in of_ipvs(wanted, own, "rr").items():
        told = [meaning(section, line) for line in lines]
        assert [meaning(section, row.text) for row in held[section]] == told, section


def test_modes_follow_each_other_without_a_trace(lab: Lab) -> None:
    def switch(mode: str, state: Snapshot) -> None:
        async def change() -> None:
            await MODES[mode]().apply(state)
            for other in others(mode, Choices()):
                await other.remove()

        run_in(lab.node, lambda: asyncio.run(change()))

    state = snapshot(WEB_1, WEB_2, node_port=30080)
    listing = (
        "iptables-save | grep -v '^[#:]'; nft list ruleset | grep kube-proxy; "
        "ipset list -n; ip -br link | cut -d' ' -f1; true"
    )
    seen = {}
    for mode in ("iptables", "ipvs", "nftables", "iptables"):
        switch(mode, state)
        assert lab.connect(lab.pods["client"], VIP, patience=SLOW)[1] == CLIENT
        assert lab.connect(lab.outsider, NODE, 30080, SLOW)[1] == BRIDGE
        found = sorted(lab.shell(listing).splitlines())
        assert seen.setdefault(mode, found) == found
    assert run_in(lab.node, lambda: Ipvs().held()) == {}
    assert "kube-ipvs0" not in lab.shell("ip -br link") and "KUBE" not in lab.shell("ipset list -n")

    def somebody_elses() -> bool:
        with Ipvs() as ipvs:
            ipvs.carry_out([Change("A", WEB)])
            asyncio.run(MODES["ipvs"]().remove())
            return WEB in ipvs.held()

    assert run_in(lab.node, somebody_elses)
