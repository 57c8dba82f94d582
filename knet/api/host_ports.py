"""Ports of the machine that pods ask for (containers[].ports[].hostPort), and which of them cannot be together."""

from typing import NamedTuple

from knet.api.objects import ContainerPort, Pod

EVERY_ADDRESS = "0.0.0.0"


class HostPort(NamedTuple):
    ip: str
    protocol: str
    port: int

    def conflicts(self, other: "HostPort") -> bool:
        """Same port and protocol, on the same address or with one of them on all addresses."""
        if (self.port, self.protocol) != (other.port, other.protocol):
            return False
        return self.ip == other.ip or EVERY_ADDRESS in (self.ip, other.ip)


def mapped_ports(pod: Pod) -> tuple[ContainerPort, ...]:
    """The ports of containers and sidecars that ports of the machine lead to."""
    sidecars = [row for row in pod.spec.initContainers if row.restartPolicy == "Always"]
    return tuple(port for container in (*pod.spec.containers, *sidecars) for port in container.ports if port.hostPort)


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """The ports of the machine, of `mapped_ports`."""
    return tuple(HostPort(port.hostIP or EVERY_ADDRESS, port.protocol, port.hostPort) for port in mapped_ports(pod))
