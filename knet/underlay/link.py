"""A link as Mininet shows it: two interfaces and a word on their state."""

from collections.abc import Callable

from knet.underlay.node import Interface
from knet.underlay.plan import LinkSpec
from knet.underlay.upstream import Link as MininetLink


class Link(MininetLink):
    """A Mininet ``Link`` over a cable that netlink has laid."""

    def __init__(self, spec: LinkSpec, intf1: Interface, intf2: Interface, status: Callable[[], str]) -> None:
        # not MininetLink.__init__, which would create the veth pair by ip(8)
        self.spec, self.intf1, self.intf2 = spec, intf1, intf2
        self._status = status
        intf1.link = intf2.link = self

    def status(self) -> str:
        """ "up", "down" (cut), "standby" or "no carrier"."""
        return self._status()

    def stop(self) -> None:
        """It ends with the network."""
