"""Brings the machine's iptables to what is wanted, with as few and as small transactions as will do.

For the modes that work by iptables; what others put into the tables stays as it is.
"""

import logging
from collections.abc import Collection

from knet.kernel import rules
from knet.kernel.upkeep import Upkeep
from knet.proxy import transaction
from knet.proxy.chains import FILTER, NAT, Jump, Rules
from knet.proxy.transaction import Held

log = logging.getLogger(__name__)


class Tables(Upkeep[Rules, Held]):
    """The filter and nat tables of one address family; ``jumps`` lead into the chains that are given later."""

    damaged = "the rules are not as kube-proxy left them; writing them anew"

    def __init__(self, jumps: Collection[Jump], family: int) -> None:
        super().__init__()
        self._jumps = jumps
        self._family = family

    async def remove(self) -> None:
        """Take all chains of kube-proxy's away, and what leads into them."""
        self.forget()
        text = transaction.removal(await self._saved())
        if text:
            await self._tell(text)
            log.info("removed iptables' chains of kube-proxy")

    def _difference(self, wanted: Rules, written: Rules) -> str:
        return transaction.difference(wanted, written)

    def _complete(self, wanted: Rules, held: Held) -> str:
        return transaction.complete(wanted, held, self._jumps)

    def _plausible(self, wanted: Rules, held: Held) -> bool:
        return transaction.plausible(wanted, held, self._jumps)

    async def _tell(self, text: str) -> None:
        await rules.restore_async(text, family=self._family)

    async def _look(self) -> Held:
        return transaction.parse_saved(await self._saved())

    async def _saved(self) -> str:
        tables = [await rules.save_async(table, family=self._family) for table in (FILTER, NAT)]
        return "".join(tables)
