"""A running cluster's network, seen over the control socket: what `knet shell` works on."""

from collections.abc import Sequence

import msgspec

from knet.cluster import channel
from knet.cluster.errors import KnetError
from knet.cluster.handles import Machine
from knet.cluster.state import StateDir
from knet.kernel.namespaces import Namespaces
from knet.underlay.state import LinkError, LinkState
from knet.underlay.view import NodeState


class ControlView:
    """A `knet.underlay.view.NetworkView`; namespaces arrive as descriptors and are kept for the shell's life."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._control = state.control
        self._namespaces: dict[str, Namespaces] = {}

    def nodes(self) -> Sequence[NodeState]:
        answer, _ = channel.request(self._control, {"op": "nodes"})
        return msgspec.convert(answer["nodes"], list[NodeState])

    def namespaces(self, node: str) -> Namespaces:
        if node not in self._namespaces:
            self._namespaces[node] = Machine(self._state, node).namespaces()
        return self._namespaces[node]

    def close(self) -> None:
        """Let go of the namespaces."""
        for namespaces in self._namespaces.values():
            namespaces.close()
        self._namespaces.clear()

    def links(self) -> Sequence[LinkState]:
        answer, _ = channel.request(self._control, {"op": "links"})
        return msgspec.convert(answer["links"], list[LinkState])

    def change_link(self, a: str, b: str, **options: object) -> None:
        self._change({"op": "change_link", "a": a, "b": b, **options})

    def reset_link(self, a: str, b: str) -> None:
        self._change({"op": "reset_link", "a": a, "b": b})

    def _change(self, request: dict[str, object]) -> None:
        try:
            channel.request(self._control, request)
        except KnetError as error:
            raise LinkError(str(error)) from None
