"""Brings the machine's table to what a snapshot says: only what is different from what the kernel holds already."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from knet.kernel import nft
from knet.kernel.netlink import NetlinkError
from knet.kernel.nft_elements import Container, NftSocket
from knet.kernel.rules import RulesError
from knet.proxy.nftables import text
from knet.proxy.nftables.desired import Change, Desired, Elements
from knet.proxy.nftables.frame import CONTAINERS, FAMILIES, TABLE, container, key_length, rules
from knet.proxy.snapshot import Snapshot

log = logging.getLogger(__name__)

#: see `NftSocket.outline`
Outline = dict[tuple[str, str], bytes]


class NftablesApplier:
    """The mode ``nftables``, in one address family.

    Elements are told in one transaction; the chains that they lead to in one before it, and what nothing leads to any
    more in one after it, so that a packet finds its way at any moment.  Whether others have been at work in between is
    told by the ruleset's generation, which every transaction of anybody moves on by one.
    """

    def __init__(self, family: int = 4) -> None:
        self._family = FAMILIES[family]
        self._desired = Desired(self._family)
        self._made = False
        #: the ruleset's generation when the table was as it should be; None where it may not be
        self._generation: int | None = None
        #: the table without elements, when it was as it should be; None where we have changed it since
        self._outline: Outline | None = None
        #: chains that nothing leads to any more
        self._stale: set[str] = set()
        self._socket: NftSocket | None = None
        self._transactions = 0

    async def apply(self, snapshot: Snapshot) -> None:
        """Make the table say what ``snapshot`` says; RulesError where the kernel refuses."""
        self._apply(snapshot)

    def _apply(self, snapshot: Snapshot) -> None:
        if not self._made:
            self._desired = Desired(self._family)
            self._write_everything(self._desired.update(snapshot))
            return
        change = self._desired.update(snapshot)
        try:
            self._write(change)
        except (RulesError, NetlinkError) as error:  # something that this change relies on is gone
            log.warning("%s; looking at all rules", error)
            self._write_everything(self._desired.everything())

    async def repair(self, snapshot: Snapshot) -> None:
        """The same, after a look at whether the table is still as we left it."""
        self._apply(snapshot)
        self._delete_stale_chains()
        if self._generation != self._nftables.generation():
            self._write_everything(self._desired.everything())

    async def remove(self) -> None:
        """Remove the table."""
        self._made = False
        with NftSocket() as nftables:
            if nftables.remove_table(self._family.nfproto, TABLE):
                log.info("removed what the mode nftables left")

    @property
    def _nftables(self) -> NftSocket:
        """Opened with the first use, to be of the network namespace in which that is."""
        if self._socket is None:
            self._socket = NftSocket()
        return self._socket

    def _write(self, change: Change) -> None:
        """Tell the kernel a change."""
        with self._accounted(self._generation):
            if change.sets or change.chains:
                self._run(text.additions(change, self._family))
            self._tell(change.removed, change.added)
            if change.stale_chains or change.stale_sets:
                self._run(text.removals(change.stale_chains, change.stale_sets, self._family))
            self._stale = (self._stale | set(change.stale_chains)) - change.chains.keys()

    def _write_everything(self, everything: Change) -> None:
        """Look at what the kernel holds, whoever made it, and tell it what is different."""
        with self._accounted(self._nftables.generation()):
            held = self._held()
            if not held or held != self._outline:
                commands = text.frame(self._family) + text.additions(everything, self._family)
                try:
                    self._run(commands)
                except RulesError as error:
                    if not held:
                        raise
                    log.warning("%s; making the table anew", error)
                    self._run(text.deletion(self._family) + commands)
                held = self._held()
            self._tell(*self._differences(everything))
            self._clear(held, everything)
            self._made, self._outline = True, self._held()

    def _container(self, name: str) -> Container:
        return Container(self._family.nfproto, TABLE, name, key_length(container(name), self._family))

    def _differences(self, everything: Change) -> tuple[Elements, Elements]:
        """The elements to remove and to add."""
        removed: Elements = {}
        added: Elements = {}
        maps = [name for name, declared in everything.sets.items() if declared.startswith("map")]
        for name in (*CONTAINERS, *maps):
            wanted, held = everything.added.get(name, {}), self._nftables.dump(self._container(name))
            if not held:
                added[name] = wanted
            elif wanted != held:
                removed[name] = {key: one for key, one in held.items() if wanted.get(key) != one}
                added[name] = {key: one for key, one in wanted.items() if held.get(key) != one}
        return removed, added

    def _clear(self, held: Outline, everything: Change) -> None:
        """Sets and chains in the table that should not be there."""
        wanted = rules(self._family).keys() | everything.chains.keys() | everything.sets.keys() | CONTAINERS.keys()
        stale = {name: kind for kind, name in held if name not in wanted}
        self._stale = {name for name, kind in stale.items() if kind == "chain"}
        sets = {name: kind for name, kind in stale.items() if kind != "chain"}
        if stale:
            self._run(text.removals(sorted(self._stale), sets, self._family))

    def _delete_stale_chains(self) -> None:
        """They were emptied when nothing led to them any more.

        It is done later because kernels before 6.2 count an element as a user of its chain for a moment longer than it
        is there.
        """
        if not self._stale:
            return
        try:
            with self._accounted(self._generation):
                self._run(text.chain_deletions(sorted(self._stale), self._family))
            self._stale = set()
        except RulesError as error:
            log.info("%s; again after the next look at the rules", error)

    def _held(self) -> Outline:
        return self._nftables.outline(self._family.nfproto, TABLE)

    def _run(self, commands: str) -> None:
        nft.apply(commands)
        self._outline = None
        self._transactions += 1

    def _tell(self, removed: Elements, added: Elements) -> None:
        if removed or added:
            self._nftables.change(
                {self._container(name): rows for name, rows in removed.items()},
                {self._container(name): rows for name, rows in added.items()},
            )
            self._transactions += 1

    @contextmanager
    def _accounted(self, generation: int | None) -> Iterator[None]:
        """Around transactions of ours on a table that was as it should be at ``generation``: it is still, if no others
        than these have been made since."""
        start, self._transactions, self._generation = time.monotonic(), 0, None
        yield
        now = self._nftables.generation()
        if generation is not None and now - generation <= self._transactions:
            self._generation = now
        if self._transactions:
            log.info("rules in force after %.1f ms", 1000 * (time.monotonic() - start))
