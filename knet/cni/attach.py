"""How sandboxes get into the pod network: by our own plugin in this process, or by a chain of other people's."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from knet.api.host_ports import mapped_ports
from knet.api.objects import Pod
from knet.cni import bridge
from knet.cni.network import NetworkConfig
from knet.cni.portmap import PortMap, mappings
from knet.kernel.recorder import record
from knet.kernel.rules import RulesError

log = logging.getLogger(__name__)


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
            for port in mapped_ports(pod)
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
    """Our own (`knet.cni.bridge`, and `knet.cni.portmap` for who has ports): a millisecond, and no process.

    To be made in the machine's network namespace.
    """

    def __init__(self) -> None:
        self._plugin = bridge.Plugin()
        self._ports = PortMap()

    async def add(self, attachment: Attachment, network: NetworkConfig) -> Sequence[str]:
        name, pod = attachment.container_id, f"{attachment.namespace}/{attachment.name}"
        began = time.monotonic()
        addresses = self._plugin.add(attachment.netns, name, pod, network.subnet, network.mtu).addresses
        about, took = (("pod", attachment.namespace, attachment.name),), time.monotonic() - began
        veth, told = bridge.veth_name(pod), ", ".join(addresses)
        record("kubelet", "sandbox", about, "%s → %s, eth0 has %s", veth, bridge.BRIDGE, told, took=took)
        try:
            await self._ports.put(name, mappings(pod, addresses, attachment.ports))
        except RulesError as error:
            await self.remove(name)
            raise bridge.CniError(f"host ports: {error}") from None
        return addresses

    async def remove(self, container_id: str, netns: int = -1) -> None:
        self._plugin.remove(container_id)
        try:
            await self._ports.take(container_id)
        except RulesError as error:  # the next change tries again
            log.warning("host ports: %s", error)

    async def gc(self, valid: Collection[str]) -> list[str]:
        await self._ports.keep(valid)
        return self._plugin.gc(valid)
