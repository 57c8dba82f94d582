"""Brings the machine's iptables to what a snapshot says, with as few and as small transactions as will do."""

import logging
import time

from knet.kernel import rules, sysctl
from knet.kernel.rules import RulesError
from knet.proxy import transaction
from knet.proxy.chains import FILTER, NAT, Rules
from knet.proxy.iptables import Renderer
from knet.proxy.snapshot import Snapshot
from knet.proxy.transaction import Held

log = logging.getLogger(__name__)


class IptablesApplier:
    """The mode ``iptables``, in one address family.  What others put into the tables stays as it is."""

    def __init__(self, family: int = 4) -> None:
        self._family = family
        self._renderer = Renderer()
        self._written: Rules | None = None
        self._left: Held | None = None

    async def apply(self, snapshot: Snapshot) -> None:
        """Make the rules say what ``snapshot`` says; RulesError where the kernel refuses, with nothing changed."""
        if self._family == 4 and any(port.node_port for port in snapshot.ports.values()):
            sysctl.ensure("net.ipv4.conf.all.route_localnet", 1)  # node ports on 127.0.0.1
        wanted = self._renderer.chains(snapshot)
        if self._written is None:
            await self._write_everything(wanted, await self._read())
            return
        text = transaction.difference(wanted, self._written)
        if not text:
            return
        try:
            await self._write(wanted, text)
        except RulesError as error:  # a chain that this change relies on is gone
            log.warning("%s; writing all rules anew", error)
            await self._write_everything(wanted, await self._read())

    async def repair(self, snapshot: Snapshot) -> None:
        """Look whether the rules are still as we left them, and write them anew where they are not."""
        wanted = self._renderer.chains(snapshot)
        held = await self._read()
        if wanted == self._written and transaction.plausible(wanted, held) and self._left in (None, held):
            self._left = held
            return
        if self._written is not None:
            log.warning("the rules are not as kube-proxy left them; writing them anew")
        await self._write_everything(wanted, held)

    async def remove(self) -> None:
        self._written = None
        text = transaction.removal(await self._saved())
        if text:
            await rules.restore_async(text, family=self._family)
            log.info("removed what the mode iptables left")

    async def _write_everything(self, wanted: Rules, held: Held) -> None:
        self._written = None
        await self._write(wanted, transaction.complete(wanted, held))

    async def _write(self, wanted: Rules, text: str) -> None:
        start = time.monotonic()
        await rules.restore_async(text, family=self._family)
        self._written, self._left = wanted, None
        log.info("%d lines of rules in force after %.0f ms", text.count("\n"), 1000 * (time.monotonic() - start))

    async def _read(self) -> Held:
        return transaction.parse_saved(await self._saved())

    async def _saved(self) -> str:
        tables = [await rules.save_async(table, family=self._family) for table in (FILTER, NAT)]
        return "".join(tables)
