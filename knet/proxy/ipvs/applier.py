"""Carries out what the other modules of this package decide.

In an order in which a Service is never half there: sets, virtual servers and addresses come before the rules that rely
on them, and addresses that are not wanted any more go after.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from knet.kernel import addresses, ipset, links, sysctl
from knet.kernel.addresses import Address
from knet.kernel.ipvs import Change, Held, Ipvs, Server, available
from knet.kernel.netlink import Netlink
from knet.proxy.chains import IPVS_JUMPS, Rules
from knet.proxy.ipvs.changes import changes, leaving, outcome
from knet.proxy.ipvs.rules import rules
from knet.proxy.ipvs.servers import INTERFACE, Servers, servers
from knet.proxy.ipvs.sets import SETS, contents, kernel_name, restore_text
from knet.proxy.snapshot import Snapshot
from knet.proxy.tables import Tables

log = logging.getLogger(__name__)

#: in each machine's namespace
_SYSCTLS = {
    # translation by IPVS is seen by conntrack, hence by the rules that masquerade
    "net.ipv4.vs.conntrack": 1,
    # a connection whose real server is gone ends with its next packet, and does not wait for its timeout
    "net.ipv4.vs.expire_nodest_conn": 1,
    # … and a client that is bound to it by session affinity finds another
    "net.ipv4.vs.expire_quiescent_template": 1,
    # strictARP: only the interface that bears an address answers for it, and kube-ipvs0 has no wire
    "net.ipv4.conf.all.arp_ignore": 1,
    "net.ipv4.conf.all.arp_announce": 2,
}


class IpvsApplier:
    """Virtual servers of one address family; ``scheduler`` is one of ipvsadm(8).

    All of the namespace's virtual servers of that family are ours, as with upstream's kube-proxy.
    """

    def __init__(self, family: int = 4, scheduler: str = "rr") -> None:
        self._family = family
        self._scheduler = scheduler
        self._tables = Tables(IPVS_JUMPS, family)
        self._held: Mapping[Server, Held] | None = None
        self._sets: Mapping[str, frozenset[str]] | None = None

    async def apply(self, snapshot: Snapshot) -> None:
        """Relies on what the last call left, but for virtual servers that lose real ones: those are looked at."""
        await self._bring(snapshot, self._tables.apply)

    async def repair(self, snapshot: Snapshot) -> None:
        """Reads everything first."""
        self._held = self._sets = None
        await self._bring(snapshot, self._tables.repair)

    async def remove(self) -> None:
        """All but the rules: those go with the mode iptables', or have been replaced by them.

        Where there is no `INTERFACE` the mode was never in force, and virtual servers are somebody else's.
        """
        self._held = self._sets = None
        if not available():
            return
        with Ipvs() as ipvs, Netlink() as netlink:
            gone: list[Change] = []
            if links.find(netlink, INTERFACE) is not None:
                gone = changes({}, self._own(ipvs.held()))
                ipvs.carry_out(gone)
                index, _, bound = self._addresses(netlink)
                self._bind(netlink, index, bound, frozenset())
                if not addresses.list_addresses(netlink, INTERFACE):
                    links.remove(netlink, INTERFACE)
        held = await ipset.saved()
        ours = [name for name in (kernel_name(name, self._family) for name in SETS) if name in held]
        await ipset.restore("".join(f"destroy {name}\n" for name in ours))
        if gone or ours:
            log.info("removed %d virtual servers and %d sets that the mode ipvs left", len(gone), len(ours))

    async def _bring(self, snapshot: Snapshot, bring_tables: Callable[[Rules], Awaitable[None]]) -> None:
        with Ipvs() as ipvs, Netlink() as netlink:
            for name, value in _SYSCTLS.items() if self._held is None else ():
                sysctl.ensure(name, value)
            links.ensure_dummy(netlink, INTERFACE)
            index, own, bound = self._addresses(netlink)
            wanted = servers(snapshot, own, self._scheduler)
            sets = contents(snapshot, own, wanted.bound)
            held_sets = await ipset.saved() if self._sets is None else self._sets
            await ipset.restore(restore_text(sets, held_sets, self._family))
            self._sets = {kernel_name(name, self._family): entries for name, entries in sets.items()}
            self._serve(ipvs, wanted)
            self._bind(netlink, index, bound, wanted.bound | bound)
            await bring_tables(rules(sets, snapshot.cluster_cidr, self._family))
            self._bind(netlink, index, wanted.bound | bound, wanted.bound)

    def _serve(self, ipvs: Ipvs, wanted: Servers) -> None:
        held = dict(self._own(ipvs.held()) if self._held is None else self._held)
        for server, row in wanted.virtual.items():
            if server in held and leaving(row, held[server]):
                held[server] = Held(held[server].scheduling, ipvs.reals(server))
        self._held = None
        ipvs.carry_out(changes(wanted.virtual, held))
        self._held = outcome(wanted.virtual, held)

    def _own(self, held: Mapping[Server, Held]) -> dict[Server, Held]:
        return {server: row for server, row in held.items() if self._is_ours(server.address)}

    def _is_ours(self, address: str) -> bool:
        return (":" in address) == (self._family == 6)

    def _addresses(self, netlink: Netlink) -> tuple[int, list[str], frozenset[str]]:
        """The interface's index; where the machine itself is reached (not loopback, not link-local); the Services'."""
        index, found = netlink.index(INTERFACE), addresses.briefly(netlink, self._family)
        own = {row.address for row in found if row.link != index and row.scope == "global"}
        return index, sorted(own), frozenset(row.address for row in found if row.link == index)

    def _bind(self, netlink: Netlink, index: int, bound: frozenset[str], wanted: frozenset[str]) -> None:
        """Let the interface bear these addresses and no others."""
        length = 32 if self._family == 4 else 128
        came = (Address(INTERFACE, f"{row}/{length}", source=False) for row in sorted(wanted - bound))
        went = (Address(INTERFACE, f"{row}/{length}") for row in sorted(bound - wanted))
        netlink.send(*(addresses.add(row, index) for row in came), *(addresses.delete(row, index) for row in went))
