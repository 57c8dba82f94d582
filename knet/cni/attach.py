"""How sandboxes get into the pod network: by our own plugin in this process, or by a chain of other people's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from knet.api.objects import Pod
from knet.cni import bridge
from knet.cni.network import NetworkConfig


@dataclass(frozen=True)
class Attachment:
    """A sandbox; ``netns`` is a descriptor of its network namespace, -1 if that has gone.

    ``ports`` are the ports of the machine that lead to it: rows of the CNI capability portMappings.
    """

    container_id: str
    netns: int
    namespace: str
    name: str
    uid: str
    ports: Sequence[dict[str, Any]] = ()

    @classmethod
    def of(cls, pod: Pod, container_id: str, netns: int) -> "Attachment":
        """A pod's."""
        ports = [
            {
                "hostPort": port.hostPort,
                "containerPort": port.containerPort,
                "protocol": port.protocol.lower(),
                "hostIP": port.hostIP,
            }
            for container in (*pod.spec.initContainers, *pod.spec.containers)
            for port in container.ports
            if port.hostPort
        ]
        return cls(container_id, netns, pod.namespace, pod.name, pod.uid, ports)


class PodNetwork(Protocol):
    """What a kubelet asks of the network; all of it may be asked again."""

    async def add(self, attachment: Attachment, network: NetworkConfig) -> Sequence[str]:
        """Connect a sandbox: its addresses, one of each family.  CniError, and then has taken nothing."""

    async def remove(self, container_id: str, netns: int = -1) -> None:
        """Disconnect it."""

    async def gc(self, valid: Collection[str]) -> list[str]:
        """Remove all sandboxes but ``valid`` ones, and return their ids."""


class Bridge:
    """Our own (`knet.cni.bridge`): a millisecond, and no process."""

    async def add(self, attachment: Attachment, network: NetworkConfig) -> Sequence[str]:
        pod = f"{attachment.namespace}/{attachment.name}"
        return bridge.add(attachment.netns, attachment.container_id, pod, network.subnet, network.mtu).addresses

    async def remove(self, container_id: str, netns: int = -1) -> None:
        bridge.remove(container_id)

    async def gc(self, valid: Collection[str]) -> list[str]:
        return bridge.gc(valid)
