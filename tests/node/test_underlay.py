"""Topologies built in a real kernel: machines that reach each other, cables that can be cut, nothing left behind."""

import dataclasses
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from underlay_sandbox import isolated, processes

from knet.kernel import features, links, qdiscs
from knet.kernel.netlink import Netlink, NetlinkError
from knet.underlay.families import in_families
from knet.underlay.membership import Joining, join, leave
from knet.underlay.ping import reach
from knet.underlay.plan import Plan
from knet.underlay.state import DOWN, NO_CARRIER, STANDBY, UP, LinkError
from knet.underlay.topology import TopologyError, describe, load
from knet.underlay.underlay import Underlay
from knet.underlay.validate import check

pytestmark = pytest.mark.root

#: what wan declares without asking for netem
WAN = "wan,delay=0,bw=50"


def _plan(spec: str, workers: int | None = None) -> Plan:
    plan = describe(load(spec, workers))
    check(plan)
    return plan


def _unreached(underlay: Underlay, timeout: float = 1.0) -> set[tuple[str, str]]:
    """The pairs of machines between which no echo comes back."""
    machines = underlay.machines
    namespaces = {name: machine.namespaces for name, machine in machines.items()}
    addresses = {name: machine.address for name, machine in machines.items()}
    return {pair for pair, seconds in reach(namespaces, addresses, timeout).items() if seconds is None}


def _interfaces() -> set[str]:
    with Netlink() as netlink:
        return {link.name for link in links.list_links(netlink)}


def _state(underlay: Underlay, a: str, b: str) -> str:
    return next(link.state for link in underlay.links() if {end.node for end in link.ends} == {a, b})


def _kinds(underlay: Underlay, node: str, interface: str) -> list[str]:
    """The queueing disciplines on an interface of a node, without the kernel's default."""
    with Netlink(underlay.net[node].namespaces.fds["net"]) as netlink:
        return [found.kind for found in qdiscs.list_qdiscs(netlink, interface) if found.handle != "0:"]


@pytest.mark.parametrize("spec", ["single", "leaf_spine,leaves=3,spines=2", "two_racks", WAN])
@isolated
def test_every_machine_reaches_every_other(spec: str, tmp_path: Path) -> None:
    with Underlay(_plan(spec, 4), tmp_path) as underlay:
        assert _unreached(underlay) == set()


@pytest.mark.parametrize("spec", ["two_racks", WAN])
@isolated
def test_every_machine_reaches_every_other_by_ipv6(spec: str, tmp_path: Path) -> None:
    with Underlay(in_families(_plan(spec), ("IPv6",)), tmp_path) as underlay:
        assert _unreached(underlay) == set()
        assert "\tn2" in underlay.net["n1"].cmd("cat /etc/hosts")


@isolated
def test_a_machine_has_a_name_an_address_and_a_place_of_its_own(tmp_path: Path) -> None:
    before = [os.listdir(place) for place in ("/var/lib", "/var/log")]
    with Underlay(_plan("two_racks"), tmp_path, nameservers=["192.0.2.53"]) as underlay:
        n1, n2 = underlay.net.get("n1", "n2")
        assert (n1.role, n1.address, n1.interface) == ("worker", "172.18.1.3", "n1-eth0")
        assert n1.cmd("hostname").split() == ["n1"]
        assert n1.cmd("ls /sys/class/net").split() == ["lo", "n1-eth0"]
        assert n1.cmd("ip route show default").split()[:3] == ["default", "via", "172.18.1.1"]
        assert "172.18.2.4\tn2" in n1.cmd("cat /etc/hosts")
        assert n1.cmd("cat /etc/resolv.conf").split() == ["nameserver", "192.0.2.53"]
        assert n1.cmd("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
        n1.cmd("touch /run/mine /var/lib/mine /var/lib/kubelet/state /var/log/pods/log")
        assert n1.cmd("ls /var/lib/kubelet /run/mine").split() == ["/run/mine", "/var/lib/kubelet:", "state"]
        assert n2.cmd("ls /var/lib/kubelet /var/log/pods").split() == ["/var/lib/kubelet:", "/var/log/pods:"]
        assert "mine" not in set(n2.cmd("ls /run /var/lib").split())
        assert [os.listdir(place) for place in ("/var/lib", "/var/log")] == before
        assert (tmp_path / "machines/n1/kubelet/state").exists()
        assert (tmp_path / "machines/n1/pods/log").exists()
        assert os.listdir("/sys/fs/cgroup") == n1.cmd("ls -U /sys/fs/cgroup").split()


@isolated
def test_machines_answer_to_mininets_vocabulary(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        net = underlay.net
        n1 = net["n1"]
        assert [str(host) for host in net.hosts] == ["cp1", "n1", "n2", "client"]
        assert [str(switch) for switch in net.switches] == ["s1"]
        assert (n1.IP(), n1.MAC(), n1.intfNames()) == ("172.18.0.3", None, ["n1-eth0"])
        assert re.fullmatch(r"<Machine n1: n1-eth0:172.18.0.3 pid=\d+> ", repr(n1))
        assert Path(f"/proc/{n1.pid}/ns/net").stat().st_ino == os.fstat(n1.namespaces.fds["net"]).st_ino
        assert [(str(a), str(b)) for a, b in n1.connectionsTo(net["s1"])] == [("n1-eth0", "s1-eth2")]
        assert str(net.links[1]) == "n1-eth0<->s1-eth2"
        assert net.linksBetween(n1, net["s1"])[0].status() == UP
        net.configLinkStatus("n1", "s1", "down")
        assert net.linksBetween(n1, net["s1"])[0].status() == DOWN
        assert n1.defaultIntf().updateIP() == "172.18.0.3"
        assert n1.defaultIntf().isUp()


@isolated
def test_a_nodes_shell_lives_from_one_command_to_the_next(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        n1, s1 = underlay.net["n1"], underlay.net["s1"]
        assert n1.shell is None
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for a script started with a shell's "&"
        n1.cmd("cd /var; word=hello")
        assert n1.cmd("echo $word from $PWD").split() == ["hello", "from", "/var"]
        assert n1.pexec("cat /proc/sys/kernel/hostname") == ("n1\n", "", 0)
        assert "master s1" in s1.cmd("bridge link show dev s1-eth2")
        n1.sendCmd("sh -c 'echo begun; exec sleep 1000'")
        assert "begun" in n1.monitor()  # from here on the signal has somebody to reach
        n1.sendInt()
        n1.waitOutput()
        assert n1.cmd("echo $?").strip() == str(128 + signal.SIGINT)


@isolated
def test_a_cut_cable_takes_the_carrier_and_leaves_the_routes(tmp_path: Path) -> None:
    with Underlay(_plan("two_racks"), tmp_path) as underlay:
        n2 = underlay.net["n2"]
        before = n2.cmd("ip -4 -o addr; ip route")
        underlay.change_link("n2", "s2", up=False)
        assert _state(underlay, "n2", "s2") == DOWN
        assert "MULTICAST,UP" in n2.cmd("ip link show dev n2-eth0")
        assert n2.cmd("cat /sys/class/net/n2-eth0/carrier").strip() == "0"
        assert n2.cmd("ip -4 -o addr; ip route").replace(" linkdown", "") == before
        assert _unreached(underlay, 0.2) == {(a, b) for a in underlay.machines for b in ("n2",) if a != b} | {
            ("n2", b) for b in underlay.machines if b != "n2"
        }
        underlay.change_link("s2", "n2", up=True)
        assert _state(underlay, "n2", "s2") == UP
        assert _unreached(underlay) == set()


@isolated
def test_machines_join_and_leave_while_others_are_cut_and_impaired(tmp_path: Path) -> None:
    with Underlay(_plan("two_racks"), tmp_path) as underlay:
        n1, s2 = underlay.net["n1"], underlay.net["s2"]
        underlay.change_link("n1", "s1", bw=10)
        underlay.change_link("client", "s1", up=False)
        before = underlay.plan
        underlay.become(join(before, Joining("n3", switch="s2"))[0])
        assert n1.cmd("getent hosts n3").split() == ["172.18.2.5", "n3"]
        assert underlay.net["n3"].cmd("getent hosts n1 n2").split()[1::2] == ["n1", "n2"]
        assert (_state(underlay, "n3", "s2"), _state(underlay, "client", "s1")) == (UP, DOWN)
        assert not {pair for pair in _unreached(underlay, 0.5) if "client" not in pair}
        underlay.become(leave(underlay.plan, "n2"))
        assert list(underlay.machines) == ["r1", "cp1", "n1", "client", "n3"]
        assert s2.intfNames() == ["s2-eth1", "s2-eth3"]
        assert _state(underlay, "client", "s1") == DOWN
        assert next(link for link in underlay.links() if "n1" in str(link.ends)).ends[0].options == {"bw": 10}
        underlay.reset_link("client", "s1")
        assert _unreached(underlay) == set()
        assert "s2-eth2" not in _interfaces()


@isolated
def test_a_machine_that_cannot_join_is_not_there(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        before = underlay.plan
        grown, _ = join(before, Joining("n3"))
        with Netlink() as netlink:
            netlink.send(links.create_bridge("s1-eth5"))  # somebody has taken the name of its port
        with pytest.raises(NetlinkError, match="File exists"):
            underlay.become(grown)
        assert (list(underlay.machines), underlay.net.plan) == (["cp1", "n1", "n2", "client"], before)
        assert len(underlay.links()) == 4
        with Netlink() as netlink:
            links.remove(netlink, "s1-eth5")
        underlay.become(grown)
        assert _unreached(underlay) == set()


@isolated
def test_a_cable_between_two_routers_can_be_cut_too(tmp_path: Path) -> None:
    with Underlay(_plan(WAN), tmp_path) as underlay:
        underlay.change_link("r1", "r2", up=False)
        for router in ("r1", "r2"):
            assert underlay.net[router].cmd(f"cat /sys/class/net/{router}-eth1/carrier").strip() == "0"
        assert ("n1", "n2") in _unreached(underlay, 0.2)
        underlay.reset_link("r1", "r2")
        assert _unreached(underlay) == set()


@isolated
def test_another_spine_takes_over_where_a_cable_is_cut(tmp_path: Path) -> None:
    with Underlay(_plan("leaf_spine", 4), tmp_path) as underlay:
        assert [link.name for link in underlay.links() if link.state == STANDBY] == ["leaf2–spine2"]
        assert _unreached(underlay) == set()
        underlay.change_link("leaf2", "spine1", up=False)
        assert [link.name for link in underlay.links() if not link.up] == ["leaf2–spine1"]
        assert _unreached(underlay) == set()
        underlay.reset_link("leaf2", "spine1")
        assert [link.name for link in underlay.links() if not link.up] == ["leaf2–spine2"]
        assert _unreached(underlay) == set()


@isolated
def test_an_interface_set_down_inside_a_machine_shows(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        underlay.net["n1"].cmd("ip link set n1-eth0 down")
        assert [str(link) for link in underlay.links() if not link.up] == ["n1–s1 · no carrier"]


@isolated
def test_bandwidth_is_shaped_where_packets_leave(tmp_path: Path) -> None:
    with Underlay(_plan(WAN), tmp_path) as underlay:
        assert [_kinds(underlay, node, f"{node}-eth1") for node in ("r1", "r2")] == [["tbf"], ["tbf"]]
        assert "rate 50Mbit" in underlay.net["r1"].cmd("tc qdisc show dev r1-eth1")

        underlay.change_link("n1", "s1", bw=10, direction="n1")
        assert (_kinds(underlay, "n1", "n1-eth0"), _kinds(underlay, "s1", "s1-eth3")) == (["tbf"], [])
        underlay.change_link("n1", "s1", max_queue_size=20, direction="s1")
        assert _kinds(underlay, "s1", "s1-eth3") == ["pfifo"]
        state = next(link for link in underlay.links() if link.name == "n1–s1")
        assert (str(state), state.declared) == ("n1–s1 · up · → 10 Mbit/s ← queue 20 packets", False)

        underlay.change_link("n1", "s1", bw=0)
        assert _kinds(underlay, "n1", "n1-eth0") == []
        underlay.reset_link("n1", "s1")
        underlay.reset_link("r1", "r2")
        assert _kinds(underlay, "s1", "s1-eth3") == []
        assert all(link.declared for link in underlay.links())
        assert _kinds(underlay, "r1", "r1-eth1") == ["tbf"]


@isolated
def test_packets_are_counted_at_the_end_that_sends_them(tmp_path: Path) -> None:
    def between() -> tuple[int, int]:
        ends = next(link for link in underlay.links() if link.name == "n1–s1").ends
        return ends[0].packets, ends[1].packets

    with Underlay(_plan("single"), tmp_path) as underlay:
        machines = underlay.machines
        reach({"n1": machines["n1"].namespaces}, {"n2": machines["n2"].address})  # now they know each other's MAC
        sent, received = between()
        reach({"n1": machines["n1"].namespaces}, {"n2": machines["n2"].address})
        assert between() == (sent + 1, received + 1)


@isolated
def test_what_netem_does_is_done_or_refused_by_name(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        if features.missing(["netem"]):
            with pytest.raises(LinkError, match=r"^link n1–s1: delay and loss need the kernel module sch_netem, which"):
                underlay.change_link("n1", "s1", delay="20ms", loss=1, bw=10)
            assert all(link.declared for link in underlay.links())
            assert _kinds(underlay, "n1", "n1-eth0") == []
        else:
            underlay.change_link("n1", "s1", delay="20ms", loss=1, bw=10)
            assert _kinds(underlay, "n1", "n1-eth0") == ["tbf", "netem"]
            assert str(underlay.links()[1]) == "n1–s1 · up · 10 Mbit/s, 20 ms, loss 1 %"
            underlay.change_link("n1", "s1", loss=0)
            machines = underlay.machines
            times = reach({"n1": machines["n1"].namespaces}, {"n2": machines["n2"].address})
            assert (times["n1", "n2"] or 0) >= 0.04  # out and back, after as much again for ARP


@isolated
def test_a_topology_that_asks_for_delay_is_refused_before_anything_is_built() -> None:
    if features.missing(["netem"]):
        line = next(
            number
            for number, text in enumerate(Path("topologies/wan.py").read_text().splitlines(), start=1)
            if "delay=delay" in text
        )
        with pytest.raises(
            TopologyError, match=rf"^wan.py:{line}: link r1–r2: delay needs the kernel module sch_netem"
        ):
            _plan("wan")
    else:
        check(describe(load("wan")))


@pytest.mark.parametrize(
    ("a", "b", "change", "complaint"),
    [
        ("n1", "s9", {"up": False}, "there is no node s9; there are client, cp1, n1, n2, s1"),
        ("n1", "n2", {"up": False}, "there is no link n1–n2; n1 has links to s1"),
        (
            "n1",
            "s1",
            {"bw": "fast"},
            "link n1–s1: bw='fast' is no bandwidth: a number of Mbit/s is meant, such as bw=10",
        ),
        ("n1", "s1", {"bw": 1, "direction": "n2"}, "link n1–s1: n2 is at neither of its ends"),
    ],
)
@isolated
def test_a_change_that_makes_no_sense(
    a: str, b: str, change: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay:
        with pytest.raises(LinkError) as caught:
            underlay.change_link(a, b, **change)  # type: ignore[arg-type]
        assert str(caught.value) == complaint


@pytest.mark.parametrize("spec", ["single", "leaf_spine", WAN])
@isolated
def test_nothing_is_left_after_stop(spec: str, tmp_path: Path) -> None:
    underlay = Underlay(_plan(spec), tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    underlay.start()
    assert processes() == ["sleep"] * len(underlay.machines)
    underlay.net["n1"].cmd("true")
    underlay.net["s1" if spec != "leaf_spine" else "leaf1"].cmd("true")
    underlay.stop()
    assert (processes(), _interfaces()) == ([], {"lo"})
    assert len(os.listdir("/proc/self/fd")) == descriptors
    underlay.stop()
    underlay.start()
    assert _unreached(underlay) == set()


@isolated
def test_nothing_is_left_after_a_start_that_fails(tmp_path: Path) -> None:
    plan = _plan("single")
    too_small = dataclasses.replace(plan.links[3], mtu=10)
    underlay = Underlay(dataclasses.replace(plan, links=(*plan.links[:3], too_small)), tmp_path)
    with pytest.raises(NetlinkError, match="link add s1-eth4 type veth peer name client-eth0"):
        underlay.start()
    assert (processes(), _interfaces()) == ([], {"lo"})


@isolated
def test_a_network_does_not_change_while_it_runs(tmp_path: Path) -> None:
    with Underlay(_plan("single"), tmp_path) as underlay, pytest.raises(RuntimeError, match="declared in the topology"):
        underlay.net.addHost("n3")


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(Path(__file__).parents[2])
    yield


@isolated
def test_a_partition_keeps_named_machines_apart_and_nobody_else(tmp_path: Path) -> None:
    with Underlay(_plan("two_racks"), tmp_path) as underlay:
        everybody = set(underlay.machines)
        assert underlay.partition([["n1", "n2"], ["cp1"]]) == (("n1", "n2"), ("cp1",))
        # n1 shares a switch with cp1, n2 is behind a router
        assert _unreached(underlay, 0.3) == {("n1", "cp1"), ("cp1", "n1"), ("n2", "cp1"), ("cp1", "n2")}
        second = underlay.partition([["n2"]])
        assert _unreached(underlay, 0.3) >= {(a, b) for a in everybody for b in everybody if a != b and "n2" in (a, b)}
        with pytest.raises(LinkError, match=r"there is no partition cp1 \| n1; there are: n1,n2 \| cp1; n2 \| "):
            underlay.heal([["cp1"], ["n1"]])
        underlay.heal([["n1", "n2"], ["cp1"]])
        assert underlay.partitions == (second,)
        underlay.heal()
        assert _unreached(underlay, 5) == set()  # whoever asked in vain for a MAC address asks again after a second
        assert all(link.up for link in underlay.links())


@isolated
def test_a_paused_machine_stands_still_and_goes_on(tmp_path: Path) -> None:
    os.environ.pop("SHELL", None)  # as services and cron jobs are started
    with Underlay(_plan("single"), tmp_path) as underlay:
        n1 = underlay.net["n1"]
        counter = n1.popen("i=0; while :; do i=$((i+1)); echo $i; done", shell=True, stdout=-1, text=True)
        pod = n1.popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], stdout=-1, text=True)
        assert (counter.stdout.readline(), pod.stdout.readline()) == ("1\n", "ready\n")
        underlay.pause("n1")
        assert all(os.WIFSTOPPED(os.waitpid(one.pid, os.WUNTRACED)[1]) for one in (counter, pod))
        assert _unreached(underlay, 0.3) == {(a, b) for a in underlay.machines for b in underlay.machines if a != b} & {
            pair for other in underlay.machines for pair in (("n1", other), (other, "n1"))
        }
        assert _state(underlay, "n1", "s1") == UP
        with pytest.raises(LinkError, match=r"^n1 is paused, not running$"):
            underlay.pause("n1")
        underlay.resume("n1")
        assert all(os.WIFCONTINUED(os.waitpid(one.pid, os.WCONTINUED)[1]) for one in (counter, pod))
        assert _unreached(underlay) == set()


@pytest.mark.parametrize(("spec", "name", "neighbour"), [("single", "n1", "s1"), (WAN, "r1", "r2")])
@isolated
def test_a_machine_without_power_and_after_a_boot(spec: str, name: str, neighbour: str, tmp_path: Path) -> None:
    with Underlay(_plan(spec), tmp_path) as underlay:
        process = underlay.net[name].popen(["sleep", "infinity"])
        underlay.net[name].cmd("ip link add cni0 type bridge; touch /run/mine")
        declared = [str(link) for link in underlay.links()]
        other = max(set(underlay.machines) - {name, "r2"})
        underlay.kill(name)
        assert process.wait() == -signal.SIGKILL
        assert _state(underlay, name, neighbour) == NO_CARRIER
        assert (name, other) in _unreached(underlay, 0.2)
        with pytest.raises(LinkError, match=f"^{name} is off, not running or paused$"):
            underlay.kill(name)
        underlay.boot(name)
        assert [str(link) for link in underlay.links()] == declared
        assert _unreached(underlay) == set()
        assert underlay.net[name].cmd("ls /sys/class/net /run").split().count("cni0") == 0
        assert "mine" not in underlay.net[name].cmd("ls /run")
        assert [str(host) for host in underlay.net.hosts] == list(underlay.machines)
        assert underlay.net.linksBetween(underlay.net[name], underlay.net[neighbour])[0].status() == UP


@isolated
def test_a_cable_that_is_declared_cut_is_so_until_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "spare.py").write_text(SPARE)
    with Underlay(_plan(str(tmp_path / "spare.py")), tmp_path) as underlay:
        assert [(link.name, link.state, link.declared) for link in underlay.links()][2:] == [
            ("s1–s2", UP, True),
            ("s1–s2", DOWN, True),
        ]
        assert _unreached(underlay) == set()
        underlay.change_link("s1", "s2", up=False)
        assert ("n1", "cp1") in _unreached(underlay, 0.2)
        underlay.change_link("s1", "s2", up=True)  # both of them: one is in reserve
        assert [link.state for link in underlay.links()][2:] == [UP, STANDBY]
        underlay.reset_link("s1", "s2")
        assert [(link.state, link.declared) for link in underlay.links()][2:] == [(UP, True), (DOWN, True)]
        assert _unreached(underlay, 5) == set()


SPARE = """
from mininet.topo import Topo

class Spare(Topo):
    def build(self):
        s1, s2 = self.addSwitch("s1"), self.addSwitch("s2")
        self.addLink(self.addHost("cp1", role="control-plane", ip="172.18.0.2/24"), s1)
        self.addLink(self.addHost("n1", role="worker", ip="172.18.0.3/24"), s2)
        self.addLink(s1, s2)
        self.addLink(s1, s2, up=False)

topos = {"spare": Spare}
"""
