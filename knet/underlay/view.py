"""What ``knet shell`` needs to know of a network: little enough to be asked for over a control socket.

The shell is a process of its own, on somebody's terminal; the network belongs to the supervisor.  Between them is a
`NetworkView`: values that can be sent, and descriptors of namespaces (which can be passed over a Unix socket, or opened
at /proc/PID/ns by whoever knows the pid).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from knet.kernel.namespaces import Namespaces
from knet.kernel.routes import Route
from knet.underlay.routing import declared_routes
from knet.underlay.state import RUNNING, LinkState

if TYPE_CHECKING:  # the shell on the user's terminal needs no Mininet
    from knet.underlay.underlay import Underlay

#: `NodeState.role` of a switch
SWITCH = "switch"


@dataclass(frozen=True)
class InterfaceState:
    name: str
    address: str
    """IPv4, without prefix length; "" on a switch"""
    peer: str
    """the interface at the other end of its link"""
    addresses: tuple[str, ...] = ()
    """of each family one, with prefix length"""


@dataclass(frozen=True)
class NodeState:
    """A machine or a switch."""

    name: str
    role: str
    """of a machine as in `knet.underlay.plan.ROLES`, or "switch" """
    pid: int
    """of a process in the node's namespaces"""
    interfaces: tuple[InterfaceState, ...]
    routes: tuple[Route, ...] = ()
    """that the topology gives a machine, beside those to the networks of its interfaces"""
    state: str = RUNNING
    """of a machine: running, paused or off"""

    @property
    def address(self) -> str:
        """The address of the first interface, "" for a switch."""
        return self.interfaces[0].address if self.interfaces else ""

    @property
    def is_switch(self) -> bool:
        return self.role == SWITCH


class NetworkView(Protocol):
    """A network as the shell sees it."""

    def nodes(self) -> Sequence[NodeState]:
        """Machines, then switches, in the topology's order.  Asked once: nodes do not come and go."""

    def namespaces(self, node: str) -> Namespaces:
        """Those in which the node's commands are to run: "net", "uts" and "mnt" of a machine, "net" of a switch, and
        "pid" if the cluster's is not the caller's.  The shell keeps them and closes nothing."""

    def links(self) -> Sequence[LinkState]:
        """All links as they are now."""

    def change_link(self, a: str, b: str, **options: object) -> None:
        """As `Underlay.change_link`; raises LinkError, whose text the shell prints."""

    def reset_link(self, a: str, b: str) -> None:
        """As `Underlay.reset_link`."""


class LocalView:
    """The view of an underlay that runs in this process."""

    def __init__(self, underlay: "Underlay") -> None:
        self._underlay = underlay

    def nodes(self) -> Sequence[NodeState]:
        peers = {}
        for link in self._underlay.plan.links:
            a, b = (end.interface for end in link.ends)
            peers[a], peers[b] = b, a
        net = self._underlay.net
        found = []
        for node in [*net.hosts, *net.switches]:
            is_machine = node in net.hosts
            own = {row.name: tuple(map(str, row.addresses)) for row in node.spec.interfaces} if is_machine else {}
            interfaces = tuple(
                InterfaceState(interface.name, interface.ip or "", peers[interface.name], own.get(interface.name, ()))
                for interface in node.intfList()
            )
            role = node.role if is_machine else SWITCH
            routes = declared_routes(node.spec) if is_machine else ()
            found.append(NodeState(node.name, role, node.pid, interfaces, routes, self._underlay.power(node.name)))
        return found

    def namespaces(self, node: str) -> Namespaces:
        return self._underlay.net[node].namespaces  # type: ignore[no-any-return]

    def links(self) -> Sequence[LinkState]:
        return self._underlay.links()

    def change_link(self, a: str, b: str, **options: object) -> None:
        self._underlay.change_link(a, b, **options)  # type: ignore[arg-type]

    def reset_link(self, a: str, b: str) -> None:
        self._underlay.reset_link(a, b)
