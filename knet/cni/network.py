"""/run/flannel/subnet.env: where flanneld tells the CNI plugin about this node's part of the pod network.

Four lines of shell, in upstream's words::

    FLANNEL_NETWORK=10.244.0.0/16
    FLANNEL_SUBNET=10.244.1.1/24
    FLANNEL_MTU=1450
    FLANNEL_IPMASQ=true

FLANNEL_SUBNET carries the gateway's address, not the network's, because upstream hands it on to Docker's --bip.  Where
the cluster has IPv6, there are FLANNEL_IPV6_NETWORK and FLANNEL_IPV6_SUBNET as well, or instead.
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from knet.api.families import IPV4, IPV6, family_of, split

SUBNET_ENV = Path("/run/flannel/subnet.env")


#: the beginning of the names of a family's lines
_NAMES = {IPV4: "FLANNEL_", IPV6: "FLANNEL_IPV6_"}


@dataclass(frozen=True)
class NetworkConfig:
    """What the CNI plugin has to know of the node's network; of two families, with a comma between."""

    network: str
    """all pods of the cluster: 10.244.0.0/16"""
    subnet: str
    """the pods of this node: 10.244.1.0/24"""
    mtu: int
    ipmasq: bool = True

    @property
    def gateway(self) -> str:
        """The node's addresses towards its pods, the first of the subnet."""
        return ",".join(str(ipaddress.ip_network(subnet)[1]) for subnet in split(self.subnet))

    def __str__(self) -> str:
        lines = []
        for network, subnet in zip(split(self.network), map(ipaddress.ip_network, split(self.subnet)), strict=True):
            name = _NAMES[family_of(network)]
            lines += [f"{name}NETWORK={network}", f"{name}SUBNET={subnet[1]}/{subnet.prefixlen}"]
        return "\n".join([*lines, f"FLANNEL_MTU={self.mtu}", f"FLANNEL_IPMASQ={str(self.ipmasq).lower()}", ""])


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
    names = [name for name in _NAMES.values() if f"{name}NETWORK" in found] or [_NAMES[IPV4]]
    try:
        return NetworkConfig(
            network=",".join(str(ipaddress.ip_network(found[f"{name}NETWORK"])) for name in names),
            subnet=",".join(str(ipaddress.ip_interface(found[f"{name}SUBNET"]).network) for name in names),
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
