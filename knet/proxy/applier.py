"""The mode ``iptables``."""

from knet.kernel import sysctl
from knet.proxy.chains import JUMPS
from knet.proxy.iptables import Renderer
from knet.proxy.snapshot import Snapshot
from knet.proxy.tables import Tables


class IptablesApplier:
    """Rules that translate each Service's address to one of its pods', in one address family."""

    def __init__(self, family: int = 4) -> None:
        self._family = family
        self._renderer = Renderer()
        self._tables = Tables(JUMPS, family)

    async def apply(self, snapshot: Snapshot) -> None:
        """Make the rules say what ``snapshot`` says; RulesError where the kernel refuses, with nothing changed."""
        if self._family == 4 and any(port.node_port for port in snapshot.ports.values()):
            sysctl.ensure("net.ipv4.conf.all.route_localnet", 1)  # node ports on 127.0.0.1
        await self._tables.apply(self._renderer.chains(snapshot))

    async def repair(self, snapshot: Snapshot) -> None:
        """Look whether the rules are still as we left them, and write them anew where they are not."""
        await self._tables.repair(self._renderer.chains(snapshot))

    async def remove(self) -> None:
        """Take the rules away; those of the mode ipvs, too, as some chains are both modes'."""
        await self._tables.remove()
