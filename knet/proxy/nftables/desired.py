"""What the table should hold: the sum of all ports' claims, brought up to date port by port.

Pure.  Most things are claimed by one port, a chain for three endpoints by thousands, and two Services may claim the
same external address, which then belongs to the one that had it first.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from knet.kernel.nft_elements import element
from knet.proxy.nftables.frame import Family
from knet.proxy.nftables.rendering import CHAIN, SET, Claimed, Claims, Content, Scope, claims, packed, taking_chains
from knet.proxy.snapshot import ServicePortName, Snapshot

#: who claims something
Owner = ServicePortName | str
_FIRST, _MACHINE = "first", "machine"
#: elements by container and key
Elements = dict[str, dict[bytes, bytes]]


def _elements() -> Elements:
    return defaultdict(dict)


@dataclass
class Change:
    """What to tell the kernel, in this order: new sets and chains with their rules, elements, then what has gone."""

    sets: dict[str, str] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    removed: Elements = field(default_factory=_elements)
    added: Elements = field(default_factory=_elements)
    stale_chains: list[str] = field(default_factory=list)
    stale_sets: dict[str, str] = field(default_factory=dict)

    def note(self, claimed: Claimed, before: Content | None, now: Content | None) -> None:
        """Something was claimed so, and is claimed so now; None is not at all."""
        kind, key = claimed
        if kind == CHAIN:
            if isinstance(now, tuple):
                self.chains[str(key)] = now
            else:
                self.stale_chains.append(str(key))
        elif kind == SET:
            if isinstance(now, str):
                self.sets[str(key)] = now
            else:
                self.stale_sets[str(key)] = str(before)
        elif isinstance(key, bytes):
            if isinstance(before, bytes):
                self.removed[kind][key] = before
            if isinstance(now, bytes):
                self.added[kind][key] = now


class Desired:
    """All that should be, and what the last `update` has changed."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._snapshot = Snapshot({})
        #: what is in force
        self._claims: Claims = {}
        #: of what several claim: all their claims, the one in force first (and under `_FIRST`, whoever's it is)
        self._contested: dict[Claimed, dict[Owner, Content]] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        #: what the chains lead to
        self._taking: Claims = {}

    def update(self, snapshot: Snapshot) -> Change:
        """Bring it to a snapshot: what is different now.

        RulesError for an address that is none, with nothing changed.
        """
        before, ports = self._snapshot, snapshot.ports
        old_scope, scope = (Scope(self._family, row.cluster_cidr, row.node_ip) for row in (before, snapshot))
        replaced: list[tuple[Owner, Claims, Claims]] = []
        if before.node_ip != snapshot.node_ip:
            replaced.append((_MACHINE, _node_ports(before), _node_ports(snapshot)))
        names = snapshot.different(before) if scope == old_scope else {**ports, **before.ports}
        for name in names:
            old, port = before.ports.get(name), ports.get(name)
            if old != port or scope != old_scope:
                gone, new = claims(old, old_scope) if old else {}, claims(port, scope) if port else {}
                replaced.append((name, gone, new))
        self._snapshot = snapshot
        change = self._replace(replaced)
        if change.chains or change.stale_chains:
            self._lead_on(change, scope)
        return change

    def everything(self) -> Change:
        """All of it, as if nothing were there yet."""
        change = Change()
        for claimed, content in (*self._claims.items(), *self._taking.items()):
            change.note(claimed, None, content)
        return change

    def _replace(self, replaced: list[tuple[Owner, Claims, Claims]]) -> Change:
        """Put claims in the place of earlier ones of the same owners."""
        touched: dict[Claimed, Content | None] = {}
        for owner, gone, new in replaced:
            for claimed in gone:
                if claimed not in new:
                    touched.setdefault(claimed, self._claims[claimed])
                    self._release(owner, claimed)
            for claimed, content in new.items():
                if claimed not in touched:
                    touched[claimed] = self._claims.get(claimed)
                if claimed in self._claims:
                    self._share(owner, claimed, content, claimed in gone)
                else:
                    self._claims[claimed] = content
        change = Change()
        for claimed, earlier in touched.items():
            now = self._claims.get(claimed)
            if now != earlier:
                change.note(claimed, earlier, now)
        return change

    def _share(self, owner: Owner, claimed: Claimed, content: Content, again: bool) -> None:
        """What is claimed already is claimed by one more, or ``again`` by one who had claimed it."""
        owners = self._contested.get(claimed)
        if owners is None:
            if again:
                self._claims[claimed] = content
                return
            owners = self._contested[claimed] = {_FIRST: self._claims[claimed]}
        owners[_FIRST if again and owner not in owners else owner] = content
        self._claims[claimed] = next(iter(owners.values()))

    def _release(self, owner: Owner, claimed: Claimed) -> None:
        owners = self._contested.get(claimed)
        if owners is None:
            del self._claims[claimed]
            return
        del owners[owner if owner in owners else _FIRST]
        if owners:
            self._claims[claimed] = next(iter(owners.values()))
        else:
            del self._claims[claimed]
        if owners.keys() <= {_FIRST}:
            del self._contested[claimed]

    def _lead_on(self, change: Change, scope: Scope) -> None:
        """What the chains in force lead to comes and goes with them."""
        self._chains |= change.chains
        for chain in change.stale_chains:
            del self._chains[chain]
        before, self._taking = self._taking, taking_chains(self._chains.values(), scope)
        for claimed in before | self._taking:
            if before.get(claimed) != self._taking.get(claimed):
                change.note(claimed, before.get(claimed), self._taking.get(claimed))


def _node_ports(snapshot: Snapshot) -> Claims:
    """Node ports are open at the machine's own address, as upstream's ``--nodeport-addresses primary`` has it."""
    if not snapshot.node_ip:
        return {}
    address = packed(snapshot.node_ip)
    return {("nodeport-ips", address): element(address)}
