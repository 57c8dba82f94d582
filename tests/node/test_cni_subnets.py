"""The pod network over underlays of one and of several subnets, built as ``knet up`` builds them."""

from pathlib import Path

import pytest
from cni_lab import Machine, Pod, call, encapsulated, underlay_packets
from underlay_sandbox import isolated

from knet.api.families import IPV4, IPV6
from knet.cni.state import State
from knet.cni.state import Underlay as Uplink
from knet.underlay.families import in_families
from knet.underlay.machine import Machine as Host
from knet.underlay.plan import WORKER
from knet.underlay.topology import describe, load
from knet.underlay.underlay import Underlay

pytestmark = pytest.mark.root

WAN = "wan,delay=0,bw=50"


def nodes(underlay: Underlay, directory: Path) -> list[Machine]:
    """The workers n1, n2 … of a running underlay."""
    hosts = [host for host in underlay.machines.values() if host.role == WORKER]
    return [Machine.of(int(host.name[1:]), _uplinks(host), host.namespaces, directory / host.name) for host in hosts]


def _uplinks(host: Host) -> dict[str, Uplink]:
    """In all families that it has addresses of."""
    addresses = host.spec.interfaces[0].addresses
    return {f"IPv{own.version}": Uplink(host.interface, str(own), 1500) for own in addresses}


def sync(machines: list[Machine], backend: str, family: str = IPV4) -> list[State]:
    """What each machine wants and, now, has."""
    leases = [machine.lease(backend, family) for machine in machines]
    wanted = [machine.desired(backend, leases, family) for machine in machines]
    for machine, state in zip(machines, wanted, strict=True):
        machine.reconcilers[family].reconcile(state)
    return wanted


def wrapped(source: Pod, target: Pod, at: Machine) -> set[bool]:
    """Whether a connection's packets arrived at the target's machine in the tunnel, of each family that they have; the
    source is seen as itself."""
    found = set()
    for own, other in zip(source.result.addresses, target.result.addresses, strict=True):
        with underlay_packets(at) as packets:
            assert call(source.space, target.space, other) == own
            found |= set(encapsulated(packets))
    return found


@pytest.mark.parametrize(
    ("topology", "backend", "near", "far"),
    [
        ("leaf_spine", "host-gw", False, False),
        ("leaf_spine", "direct-routing", False, False),
        ("two_racks", "vxlan", True, True),
        ("two_racks", "direct-routing", False, True),
        (WAN, "direct-routing", False, True),
    ],
)
@isolated
def test_the_tunnel_is_taken_where_the_backend_needs_it(
    topology: str, backend: str, near: bool, far: bool, tmp_path: Path
) -> None:
    """n1 and n3 are in one rack or site, n2 is in the other."""
    with Underlay(describe(load(topology, 3)), tmp_path) as underlay:
        _, n2, n3 = machines = nodes(underlay, tmp_path)
        sync(machines, backend)
        one, two, three = (machine.add_pod("web") for machine in machines)
        assert wrapped(one, three, at=n3) == {near}
        assert wrapped(one, two, at=n2) == {far}
        assert wrapped(two, three, at=n3) == {far}
        for machine in machines:
            machine.close()


@pytest.mark.parametrize(
    ("topology", "backend", "families", "far"),
    [
        ("two_racks", "direct-routing", (IPV4, IPV6), True),
        ("two_racks", "vxlan", (IPV6,), True),
        (WAN, "vxlan", (IPV6,), True),
        ("single", "host-gw", (IPV4, IPV6), False),
    ],
)
@isolated
def test_ipv6_takes_the_same_roads(
    topology: str, backend: str, families: tuple[str, ...], far: bool, tmp_path: Path
) -> None:
    with Underlay(in_families(describe(load(topology, 2)), families), tmp_path) as underlay:
        n1, n2 = machines = nodes(underlay, tmp_path)
        for family in families:
            states = sync(machines, backend, family)
            again = [
                machine.reconcilers[family].reconcile(state) for machine, state in zip(machines, states, strict=True)
            ]
            assert again == [[], []]
        one, near, two = n1.add_pod("one"), n1.add_pod("near"), n2.add_pod("two")
        assert wrapped(one, two, at=n2) == {far}
        for own, other, gateway in zip(one.result.addresses, near.result.addresses, one.result.gateways, strict=True):
            assert call(one.space, near.space, other) == own
            assert call(n1.space, one.space, own) == gateway
        assert n1.plugin.check(one.space.fds["net"], one.sandbox, n1.subnet) == one.result
        for machine in machines:
            machine.close()


@isolated
def test_hostgw_reaches_its_own_rack_and_says_that_it_reaches_no_other(tmp_path: Path) -> None:
    with Underlay(describe(load("two_racks", 3)), tmp_path) as underlay:
        _, _, n3 = machines = nodes(underlay, tmp_path)
        states = sync(machines, "host-gw")
        assert [[refusal.node for refusal in state.refusals] for state in states] == [["n2"], ["n1", "n3"], ["n2"]]
        one, two, three = (machine.add_pod("web") for machine in machines)
        assert wrapped(one, three, at=n3) == {False}
        with pytest.raises(OSError, match=r"timed out|unreachable|No route to host"):
            call(one.space, two.space, two.result.address, patience=0.5)
        for machine in machines:
            machine.close()


@isolated
def test_a_machine_that_changes_its_rack_is_reached_the_other_way(tmp_path: Path) -> None:
    """As a laptop that is plugged in elsewhere: the public address in its lease changes, and with it the road."""
    with Underlay(describe(load("two_racks", 2)), tmp_path) as underlay:
        n1, n2 = machines = nodes(underlay, tmp_path)
        far, near = (str(state) for state in (sync(machines, "direct-routing")[0], _moved(n1, n2)))
        assert "route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink" in far
        assert "route 10.244.2.0/24 via 172.18.1.77 dev n1-eth0" in near
        held = n1.reconciler.read(n1.desired("direct-routing", []))
        assert [str(entry) for entry in held] == ["10.244.2.0/24 via 172.18.1.77 dev n1-eth0"]
        for machine in machines:
            machine.close()


def _moved(here: Machine, there: Machine) -> State:
    there.underlays = {IPV4: Uplink(there.interface, "172.18.1.77/24", 1500)}
    state = here.desired("direct-routing", [there.lease("direct-routing")])
    here.reconciler.reconcile(state)
    return state
