"""What a machine's kernel holds, as a picture: the same sections as are expected, read back.

To be called in the machine's network namespace (`knet.kernel.namespaces.run_in`).
"""

import errno
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from knet.api.families import IPV4
from knet.api.load_balancers import ANNOUNCED_TABLE
from knet.cni.masquerade import PROGRAMS
from knet.cni.reconciler import Reconciler
from knet.cni.state import State
from knet.inspect.explain.picture import ADDRESS, ANNOUNCED, FDB, IPSET, IPVS, NEIGH, ROUTE, Section, element
from knet.kernel import addresses, ipset, links, nft, routes, rules
from knet.kernel.ipvs import Ipvs
from knet.kernel.neighbours import FdbEntry, Neighbour
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.nft_elements import Container, NftSocket
from knet.policy import table, transaction
from knet.proxy.ipvs.servers import INTERFACE
from knet.proxy.ipvs.sets import SETS
from knet.proxy.nftables import frame
from knet.proxy.nftables.frame import CONTAINERS, FAMILIES, NUMBERED, TABLE, Family


class Held(NamedTuple):
    """A line; ``counters`` are its packets and bytes, or what else it counts, where it counts."""

    text: str
    counters: Mapping[str, int] = {}


#: lines by section, as the kernel's listings have them
Kernel = dict[Section, tuple[Held, ...]]


def read(proxy: str, overlays: tuple[State, ...], families: tuple[str, ...], announces: bool = False) -> Kernel:
    """All of it, for a proxy mode and what flanneld wants (which says what is its), and what is announced by BGP.

    RulesError, NetlinkError.
    """
    found: Kernel = {}
    for family in families:
        found |= _iptables(family)
        found |= _PROXIES[proxy](FAMILIES[int(family[-1])])
        found |= _announced(family) if announces else {}
    for state in overlays:
        found |= _overlay(state)
    return found | _policies()


_RULE = re.compile(r"^(?:\[(\d+):(\d+)\] )?-A (\S+) ?(.*)$")


def _iptables(family: str) -> Kernel:
    program, version = PROGRAMS[family]
    return {
        section: rows
        for name in ("filter", "nat")
        for section, rows in parse_saved(program, name, rules.save(name, family=version, counters=True)).items()
    }


def parse_saved(program: str, name: str, saved: str) -> Kernel:
    """What iptables-save -c printed of a table.  Pure."""
    found: dict[str, list[Held]] = {}
    for line in saved.splitlines():
        if line.startswith(":"):
            found[line[1:].split()[0]] = []
        elif rule := _RULE.match(line):
            packets, size = int(rule[1] or 0), int(rule[2] or 0)
            found.setdefault(rule[3], []).append(Held(rule[4], {"packets": packets, "bytes": size}))
    return {Section(program, f"{name} {chain}"): tuple(rows) for chain, rows in found.items()}


# ---- kube-proxy's modes ----------------------------------------------------------------------------------------------


def _nothing(family: Family) -> Kernel:
    return {}


def _nftables(family: Family) -> Kernel:
    kind = f"{family.keyword} {TABLE}"
    found = {Section(kind, f"chain {name}"): tuple(map(_counted, rows)) for name, rows in _chains(kind).items()}
    with NftSocket() as nftables:
        there = [name for what, name in nftables.outline(family.nfproto, TABLE) if what != "chain"]
        for name in there:
            if name in CONTAINERS or name.rpartition("-")[0] in NUMBERED:
                row = frame.container(name)
                held = nftables.dump(Container(family.nfproto, TABLE, name, frame.key_length(row, family)))
                elements = sorted(element(one, name, family) for one in held.values())
                found[Section(kind, f"{row.kind} {name}")] = tuple(map(Held, elements))
            else:  # of who was there last, for session affinity: the kernel fills it in
                found[Section(kind, f"set {name}")] = ()
    return found


def _chains(kind: str) -> dict[str, list[str]]:
    return nft.chains(*kind.split())


_COUNTER = re.compile(r"counter packets (\d+) bytes (\d+)")


def _counted(rule: str) -> Held:
    """A rule of nft: what it counts stands in it."""
    counter = _COUNTER.search(rule)
    if counter is None:
        return Held(rule)
    return Held(_COUNTER.sub("counter", rule), {"packets": int(counter[1]), "bytes": int(counter[2])})


def _ipvs(family: Family) -> Kernel:
    version = 4 if family.nfproto == 2 else 6
    found: Kernel = {}
    with Ipvs() as ipvs:
        for server, held in ipvs.held().items():
            if (":" in server.address) == (version == 6):
                reals = [
                    Held(f"-r {real}", {"weight": state.weight, "connections": state.connections})
                    for real, state in sorted(held.reals.items())
                ]
                found[Section(IPVS, f"{server} {held.scheduling}")] = tuple(reals)
    for name, entries in ipset.parse_saved(ipset.save()).items():
        if _set_version(name) == version:
            found[Section(IPSET, name)] = tuple(map(Held, sorted(entries)))
    with Netlink() as netlink:
        bound: list[str] = []
        if links.find(netlink, INTERFACE) is not None:
            index = netlink.index(INTERFACE)
            bound = sorted(row.address for row in addresses.briefly(netlink, version) if row.link == index)
    return {**found, Section(ADDRESS, f"{INTERFACE} ipv{version}"): tuple(map(Held, bound))}


def _set_version(name: str) -> int:
    """0 for somebody else's set."""
    return 4 if name in SETS else 6 if name.startswith("KUBE-6-") else 0


_PROXIES: Mapping[str, Callable[[Family], Kernel]] = {"iptables": _nothing, "ipvs": _ipvs, "nftables": _nftables}

# ---- the others ------------------------------------------------------------------------------------------------------


def _overlay(wanted: State) -> Kernel:
    found: dict[str, list[str]] = {ROUTE: [], NEIGH: [], FDB: []}
    with Netlink() as netlink:
        try:
            entries = Reconciler(netlink).read(wanted)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:  # no tunnel, so nothing of it
                raise
            entries = []
    for entry in entries:
        kind = FDB if isinstance(entry, FdbEntry) else NEIGH if isinstance(entry, Neighbour) else ROUTE
        found[kind].append(str(entry))
    return {Section(kind, wanted.family): tuple(map(Held, sorted(rows))) for kind, rows in found.items()}


def _announced(family: str) -> Kernel:
    with Netlink() as netlink:
        number = socket.AF_INET if family == IPV4 else socket.AF_INET6
        rows = map(str, routes.list_routes(netlink, table=ANNOUNCED_TABLE, family=number))
        return {Section(ANNOUNCED, family): tuple(map(Held, sorted(rows)))}


def _policies() -> Kernel:
    kind = f"{table.FAMILY} {table.NAME}"
    found = {Section(kind, f"chain {name}"): tuple(map(_counted, rows)) for name, rows in _chains(kind).items()}
    listing: list[dict[str, Any]] = nft.listing(table.FAMILY, table.NAME) or []
    kinds = {row["name"]: what for entry in listing for what, row in entry.items() if what in ("set", "map")}
    for name, elements in transaction.held(listing).sets.items():
        found[Section(kind, f"{kinds[name]} {name}")] = tuple(map(Held, sorted(elements)))
    return found
