"""The nodes of a network as ``py`` expressions of ``knet shell`` see them, with the names that Mininet gives things."""

from collections.abc import Iterator, Mapping

from knet.underlay import terminal
from knet.underlay.view import NetworkView, NodeState


class Node:
    """A node as ``py`` expressions see it: ``py n1.cmd('ip route')``, ``py n1.IP()``."""

    def __init__(self, state: NodeState, view: NetworkView) -> None:
        self.state, self.namespaces = state, view.namespaces(state.name)
        self.name, self.role, self.pid = state.name, state.role, state.pid

    def cmd(self, *words: object) -> str:
        """Run a command inside the node and return what it printed."""
        return terminal.capture(self.namespaces, " ".join(map(str, words)))

    def IP(self) -> str | None:
        """The node's own address; None for a switch."""
        return self.state.address or None

    def intfNames(self) -> list[str]:
        """The names of its interfaces, by port."""
        return [interface.name for interface in self.state.interfaces]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        kind = "Switch" if self.state.is_switch else "Machine"
        interfaces = ",".join(f"{i.name}:{i.address or None}" for i in self.state.interfaces)
        return f"<{kind} {self.name}: {interfaces} pid={self.pid}>"


class Net(Mapping[str, Node]):
    """``net`` in ``py`` expressions: ``py net['n1'].IP()``, ``py net.get('n1')``, ``py net.hosts``."""

    def __init__(self, view: NetworkView) -> None:
        self._nodes = {state.name: Node(state, view) for state in view.nodes()}

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def hosts(self) -> list[Node]:
        return [node for node in self.values() if not node.state.is_switch]

    @property
    def switches(self) -> list[Node]:
        return [node for node in self.values() if node.state.is_switch]
