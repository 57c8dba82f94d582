"""A switch: a Linux bridge in the cluster's own network namespace."""

import os

from knet.kernel.namespaces import Namespaces
from knet.underlay.node import LazyNode
from knet.underlay.plan import SwitchSpec
from knet.underlay.upstream import Switch as MininetSwitch


class Switch(LazyNode, MininetSwitch):
    """A Mininet ``Switch`` without a controller; its ``cmd`` runs where its ports are."""

    def __init__(self, spec: SwitchSpec, namespaces: Namespaces) -> None:
        super().__init__(spec.name, namespaces, os.getpid(), dpid="0")
        self.spec = spec

    def connected(self) -> bool:
        """A bridge forwards as soon as it is up."""
        return True

    def start(self, _controllers: object = ()) -> None:
        """It was started with the network."""
