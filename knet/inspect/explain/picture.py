"""What a machine should hold, as lines in sections: the text that its components tell the kernel.  Pure.

======================  ====================================  ===========================================
section                 lines                                 of
======================  ====================================  ===========================================
``iptables nat CHAIN``  rules, in order                       kube-proxy, flanneld, the bridge plugin
``ip kube-proxy …``     rules of chains, elements of sets     kube-proxy, mode nftables
``inet knet-policy …``  likewise                              network policies
``ipvs -t VIP:PORT``    real servers                          kube-proxy, mode ipvs
``ipset NAME``          entries                               likewise
``address kube-ipvs0``  addresses                             likewise
``route``               routes to other machines' pods        flanneld
``neigh`` ``fdb``       the tunnel's entries                  flanneld
``route table 179``     addresses of load balancers           the speaker, mode bgp: what BIRD announces
======================  ====================================  ===========================================
"""

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_network
from typing import NamedTuple

from knet.api.families import family_of
from knet.api.load_balancers import ANNOUNCED_TABLE
from knet.cni import portmap
from knet.cni.masquerade import PROGRAMS
from knet.cni.state import State
from knet.inspect import desired
from knet.inspect.world import World
from knet.policy.table import FAMILY, NAME, Table
from knet.proxy import chains, iptables
from knet.proxy.ipvs import rules, servers, sets
from knet.proxy.nftables import frame, text
from knet.proxy.nftables.desired import Desired
from knet.proxy.nftables.frame import FAMILIES, TABLE
from knet.proxy.snapshot import Snapshot
from knet.speaker import announcements
from knet.speaker.ranking import homes
from knet.underlay.plan import WORKER

IPTABLES, IPVS, IPSET, ADDRESS = "iptables", "ipvs", "ipset", "address"
ROUTE, NEIGH, FDB = "route", "neigh", "fdb"
ANNOUNCED = f"route table {ANNOUNCED_TABLE}"


class Section(NamedTuple):
    """Where lines stand."""

    kind: str
    """iptables, ip6tables, "ip kube-proxy", "inet knet-policy", ipvs, ipset, address, route, neigh, fdb, nginx …"""
    name: str = ""
    """"nat KUBE-SERVICES", "map service-ips", …"""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    @property
    def ordered(self) -> bool:
        """Whether the lines' order means something."""
        return self.kind in ("iptables", "ip6tables", "nginx") or self.name.startswith("chain ")


#: lines by section; that of something without an order of its own is the alphabet's
Picture = dict[Section, tuple[str, ...]]


def is_flannels(section: Section) -> bool:
    """Whether flanneld writes it."""
    return section.kind in (ROUTE, NEIGH, FDB) or " FLANNEL-" in section.name


def workers(world: World) -> list[str]:
    """The machines that have a picture."""
    return [name for name, machine in world.topology.machines.items() if machine.role == WORKER]


def picture(world: World, node: str) -> Picture:
    """All that the components of a machine want, worked out once for a world."""

    def make() -> Picture:
        found: dict[Section, tuple[str, ...]] = {}
        for family in world.settings.families:
            found |= _PROXIES[world.settings.proxy](world, node, desired.snapshot(world, node, family))
            if state := desired.overlay(world, node, family):
                found |= _overlay(state)
            for chain in desired.masquerading(world, node, family):
                section = Section(PROGRAMS[family][0], f"{chain.table} {chain.name}")
                found[section] = tuple(_rule(line) for line in chain.rules)
            found |= _host_ports(world, node, family)
            found |= _announced(world, node, family)
        return found | of_policies(desired.isolation(world, node))

    return world.once(("picture", node), make)


# ---- kube-proxy ------------------------------------------------------------------------------------------------------


def of_iptables(snapshot: Snapshot) -> Picture:
    """The mode iptables."""
    return _chains(iptables.chains(snapshot), snapshot.family)


def _chains(found: chains.Rules, version: int) -> Picture:
    program = "iptables" if version == 4 else "ip6tables"
    return {Section(program, f"{chain.table} {chain.name}"): lines for chain, lines in found.items()}


def of_nftables(snapshot: Snapshot) -> Picture:
    """The mode nftables."""
    family = FAMILIES[snapshot.family]
    everything = Desired(family).update(snapshot)
    kind = f"{family.keyword} {TABLE}"
    found: dict[Section, tuple[str, ...]] = {}
    for name, lines in {**frame.rules(family), **everything.chains}.items():
        hook = frame.BASE_CHAINS.get(name)
        first = ("type {} hook {} priority {}; policy accept;".format(*hook),) if hook else ()
        found[Section(kind, f"chain {name}")] = (*first, *lines)
    declared = {row.name: row.kind for row in frame.CONTAINERS.values()}
    declared |= {name: declaration.split()[0] for name, declaration in everything.sets.items()}
    for name, what in declared.items():
        rows = everything.added.get(name, {}).values()
        found[Section(kind, f"{what} {name}")] = tuple(sorted(element(one, name, family) for one in rows))
    return found


@functools.lru_cache(1 << 16)
def element(one: bytes, name: str, family: frame.Family) -> str:
    """As nft prints it; machines have nearly the same ones."""
    return text.element(one, frame.container(name), family)


def of_ipvs(snapshot: Snapshot, own: Collection[str], scheduler: str) -> Picture:
    """The mode ipvs, on a machine with these addresses."""
    wanted = servers.servers(snapshot, own, scheduler)
    contents = sets.contents(snapshot, own, wanted.bound)
    found = dict(_chains(rules.rules(contents, snapshot.cluster_cidr, snapshot.family), snapshot.family))
    for server, row in wanted.virtual.items():
        found[Section(IPVS, f"{server} {row.scheduling}")] = tuple(sorted(f"-r {real}" for real in row.reals))
    for name, entries in contents.items():
        found[Section(IPSET, sets.kernel_name(name, snapshot.family))] = tuple(sorted(entries))
    return {**found, Section(ADDRESS, f"{servers.INTERFACE} ipv{snapshot.family}"): tuple(sorted(wanted.bound))}


def node_addresses(world: World, node: str, family: str) -> list[str]:
    """Where the mode ipvs has node ports: on every interface of the machine."""
    machine = world.topology.machines[node]
    found = [row for interface in machine.interfaces for row in interface.addresses]
    state = desired.overlay(world, node, family)
    if state and state.device:
        found.append(state.device.address.address)
    lease = desired.leases(world, family).get(node)
    if lease and any(pod.spec.nodeName == node for pod in world.pod_at.values()):  # cni0 comes with the first
        found.append(str(ip_network(lease.subnet)[1]))
    own = {row.partition("/")[0] for row in found}
    return sorted(row for row in own if family_of(row) == family)


def _ipvs(world: World, node: str, snapshot: Snapshot) -> Picture:
    return of_ipvs(snapshot, node_addresses(world, node, f"IPv{snapshot.family}"), world.settings.ipvs_scheduler)


#: how the rows of `knet.proxy.modes` are drawn
_PROXIES: Mapping[str, Callable[[World, str, Snapshot], Picture]] = {
    "iptables": lambda world, node, snapshot: of_iptables(snapshot),
    "ipvs": _ipvs,
    "nftables": lambda world, node, snapshot: of_nftables(snapshot),
}

# ---- the others ------------------------------------------------------------------------------------------------------


def _overlay(state: State) -> Picture:
    rows: Mapping[str, Iterable[object]] = {ROUTE: state.routes, NEIGH: state.neighbours, FDB: state.fdb}
    return {Section(kind, state.family): tuple(sorted(map(str, entries))) for kind, entries in rows.items()}


def _announced(world: World, node: str, family: str) -> Picture:
    if world.settings.lb_mode != "bgp":
        return {}
    local = world.once("homes", lambda: homes(world.slices.values()))
    addresses = announcements.announced(world.services.values(), local, world.nodes.get(node))
    rows = (str(announcements.route(address)) for address in addresses if family_of(address) == family)
    return {Section(ANNOUNCED, family): tuple(sorted(rows))}


def _host_ports(world: World, node: str, family: str) -> Picture:
    rows = [row for row in desired.host_ports(world, node) if family_of(row.address) == family]
    if not rows:
        return {}
    found: dict[Section, list[str]] = {}
    for line in portmap.render(rows, family, jumps=()).splitlines():
        if line.startswith("-A "):
            found.setdefault(Section(PROGRAMS[family][0], f"nat {line.split()[1]}"), []).append(_rule(line))
    return {section: tuple(lines) for section, lines in found.items()}


def _rule(line: str) -> str:
    """``-A CHAIN rule`` without its chain."""
    return line.split(" ", 2)[2]


def of_policies(table: Table) -> Picture:
    """Network policies."""
    kind = f"{FAMILY} {NAME}"
    found = {
        Section(kind, f"{row.kind} {name}"): tuple(sorted(row.elements))
        for name, row in table.sets.items()
        if not row.memory  # which the kernel fills in
    }
    return found | {Section(kind, f"chain {name}"): lines for name, lines in table.chains.items()}
