"""Brings the machine's iptables to what is wanted, with as few and as small transactions as will do.

For the modes that work by iptables; what others put into the tables stays as it is.
"""

import logging
import time
from collections.abc import Collection

from knet.kernel import rules
from knet.kernel.rules import RulesError
from knet.proxy import transaction
from knet.proxy.chains import FILTER, NAT, Jump, Rules
from knet.proxy.transaction import Held

log = logging.getLogger(__name__)


class Tables:
    """The filter and nat tables of one address family; ``jumps`` lead into the chains that are given later."""

    def __init__(self, jumps: Collection[Jump], family: int) -> None:
        self._jumps = jumps
        self._family = family
        self._written: Rules | None = None
        self._left: Held | None = None

    async def bring(self, wanted: Rules) -> None:
        """Make the chains say this; RulesError where the kernel refuses, with nothing changed."""
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

    async def repair(self, wanted: Rules) -> None:
        """Make the chains say this; then look whether they are as we left them, and write them anew where not."""
        await self.bring(wanted)
        held = await self._read()
        if transaction.plausible(wanted, held, self._jumps) and self._left in (None, held):
            self._left = held
            return
        log.warning("the rules are not as kube-proxy left them; writing them anew")
        await self._write_everything(wanted, held)

    async def remove(self) -> None:
        """Take all chains of kube-proxy's away, and what leads into them."""
        self._written = None
        text = transaction.removal(await self._saved())
        if text:
            await rules.restore_async(text, family=self._family)
            log.info("removed iptables' chains of kube-proxy")

    async def _write_everything(self, wanted: Rules, held: Held) -> None:
        self._written = None
        await self._write(wanted, transaction.complete(wanted, held, self._jumps))

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
