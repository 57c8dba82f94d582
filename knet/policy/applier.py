"""Brings the machine's table to what was compiled: the difference, in one transaction."""

import asyncio

from knet.kernel import nft, sysctl
from knet.kernel.upkeep import Upkeep
from knet.policy import transaction
from knet.policy.table import FAMILY, NAME, Table
from knet.policy.transaction import Held


class Applier(Upkeep[Table, Held]):
    """To be used in the machine's network namespace.  What others keep in nftables stays as it is."""

    damaged = f"table {FAMILY} {NAME} is not as it was left; writing it anew"

    async def repair(self, wanted: Table) -> None:
        """See `Upkeep.repair`; and what the rules rely on is looked after, too."""
        if wanted:
            _see_bridged_packets()
        await super().repair(wanted)

    def _difference(self, wanted: Table, written: Table) -> str:
        return transaction.difference(wanted, written)

    def _complete(self, wanted: Table, held: Held) -> str:
        return str(wanted) if wanted or held.chains else ""

    def _plausible(self, wanted: Table, held: Held) -> bool:
        return transaction.plausible(wanted, held)

    async def _tell(self, text: str) -> None:
        _see_bridged_packets()
        await asyncio.to_thread(nft.apply, text)

    async def _look(self) -> Held:
        return transaction.held(await asyncio.to_thread(nft.listing, FAMILY, NAME))


def _see_bridged_packets() -> None:
    """Two pods on one bridge: their packets, too, have to come by the forward hook."""
    sysctl.see_bridged_packets(4, 6)
