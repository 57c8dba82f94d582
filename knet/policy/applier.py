"""Brings the machine's table to what was compiled: the difference, in one transaction."""

import asyncio
import logging
import time

from knet.kernel import nft, sysctl
from knet.kernel.rules import RulesError
from knet.policy import transaction
from knet.policy.table import FAMILY, NAME, Table
from knet.policy.transaction import Held

log = logging.getLogger(__name__)


class Applier:
    """To be used in the machine's network namespace.  What others keep in nftables stays as it is."""

    def __init__(self) -> None:
        #: what the kernel was told; None while we do not know what it holds
        self._written: Table | None = None
        #: what it made of that, once it has been looked at
        self._left: Held | None = None

    async def apply(self, wanted: Table) -> None:
        """Make the kernel hold ``wanted``; RulesError where it refuses, with nothing changed."""
        if self._written is None:
            await self._replace(wanted, await self._read())
            return
        text = transaction.difference(wanted, self._written)
        if not text:
            return
        try:
            await self._write(wanted, text)
        except RulesError as error:  # something that this change relies on is gone
            log.warning("%s; writing all rules anew", error)
            await self._replace(wanted, await self._read())

    async def repair(self, wanted: Table) -> None:
        """Look whether the table is still as we left it, and write it anew where it is not."""
        if wanted != self._written:
            await self.apply(wanted)
            return
        if wanted:
            _see_bridged_packets()
        found = await self._read()
        if transaction.plausible(wanted, found) and self._left in (None, found):
            self._left = found
            return
        log.warning("table %s %s is not as it was left; writing it anew", FAMILY, NAME)
        await self._replace(wanted, found)

    async def _replace(self, wanted: Table, found: Held) -> None:
        self._written = None
        if wanted or found.chains:
            await self._write(wanted, str(wanted))
        self._written = wanted

    async def _write(self, wanted: Table, text: str) -> None:
        start = time.monotonic()
        _see_bridged_packets()
        await asyncio.to_thread(nft.apply, text)
        self._written, self._left = wanted, None
        log.info("%d lines of rules in force after %.0f ms", text.count("\n"), 1000 * (time.monotonic() - start))

    async def _read(self) -> Held:
        return transaction.held(await asyncio.to_thread(nft.listing, FAMILY, NAME))


def _see_bridged_packets() -> None:
    """Two pods on one bridge: their packets, too, have to come by the forward hook.  OSError: no br_netfilter."""
    for name in ("iptables", "ip6tables"):
        sysctl.ensure(f"net.bridge.bridge-nf-call-{name}", 1)
