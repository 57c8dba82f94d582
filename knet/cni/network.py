"""/run/flannel/subnet.env: where flanneld tells the CNI plugin about this node's part of the pod network.

Four lines of shell, in upstream's words::

    FLANNEL_NETWORK=10.244.0.0/16
    FLANNEL_SUBNET=10.244.1.1/24
    FLANNEL_MTU=1450
    FLANNEL_IPMASQ=true

FLANNEL_SUBNET carries the gateway's address, not the network's, because upstream hands it on to Docker's --bip.
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

SUBNET_ENV = Path("/run/flannel/subnet.env")


@dataclass(frozen=True)
class NetworkConfig:
    """What the CNI plugin has to know of the node's network."""

    network: str
    """all pods of the cluster: 10.244.0.0/16"""
    subnet: str
    """the pods of this node: 10.244.1.0/24"""
    mtu: int
    ipmasq: bool = True

    @property
    def gateway(self) -> str:
        """The node's address towards its pods, the first of the subnet."""
        return str(ipaddress.ip_network(self.subnet)[1])

    def __str__(self) -> str:
        subnet = ipaddress.ip_network(self.subnet)
        return (
            f"FLANNEL_NETWORK={self.network}\n"
            f"FLANNEL_SUBNET={subnet[1]}/{subnet.prefixlen}\n"
            f"FLANNEL_MTU={self.mtu}\n"
            f"FLANNEL_IPMASQ={str(self.ipmasq).lower()}\n"
        )


def network_config(path: Path = SUBNET_ENV) -> NetworkConfig | None:
    """The node's network, or None while flanneld has not written it ("cni plugin not initialized").

    ValueError for a file that says something else.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    return parse(text)


def parse(text: str) -> NetworkConfig:
    """The meaning of the file's text; ValueError if lines are missing or malformed."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    try:
        return NetworkConfig(
            network=str(ipaddress.ip_network(found["FLANNEL_NETWORK"])),
            subnet=str(ipaddress.ip_interface(found["FLANNEL_SUBNET"]).network),
            mtu=int(found["FLANNEL_MTU"]),
            ipmasq=found.get("FLANNEL_IPMASQ") == "true",
        )
    except KeyError as error:
        raise ValueError(f"{SUBNET_ENV}: no line {error.args[0]}") from None


def write(config: NetworkConfig, path: Path = SUBNET_ENV) -> bool:
    """Publish ``config`` in one step, so that nobody reads half of it; False where the file says so already."""
    text = str(config)
    try:
        if path.read_text() == text:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, path)
    return True
