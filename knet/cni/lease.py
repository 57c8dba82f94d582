"""A lease: which machine holds which part of the pod network, and how to reach it there.

With Kubernetes' own subnet manager (``--kube-subnet-mgr``) flannel leases nothing itself: the node IPAM controller
assigns ``spec.podCIDR``, and each flanneld tells the others about its end in annotations of its Node, under upstream's
names, so that an upstream flanneld understands ours.  A node has a lease for each address family of the cluster: two
networks side by side, which know nothing of each other.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

import msgspec

from knet.api.families import IPV4, IPV6, family_of, of_family
from knet.api.objects import Node

_PREFIX = "flannel.alpha.coreos.com/"
BACKEND_TYPE = _PREFIX + "backend-type"
BACKEND_DATA = {IPV4: _PREFIX + "backend-data", IPV6: _PREFIX + "backend-v6-data"}
PUBLIC_IP = {IPV4: _PREFIX + "public-ip", IPV6: _PREFIX + "public-ipv6"}
PUBLIC_IP_OVERWRITE = {IPV4: _PREFIX + "public-ip-overwrite", IPV6: _PREFIX + "public-ipv6-overwrite"}
MANAGED = _PREFIX + "kube-subnet-manager"

#: flannel's default network identifier
VNI = 1


class BackendData(msgspec.Struct, frozen=True):
    """What the vxlan backend publishes; other backends publish ``null``."""

    VNI: int
    VtepMAC: str


@dataclass(frozen=True)
class Lease:
    node: str
    subnet: str
    """the node's podCIDR, of the lease's family"""
    public_ip: str
    """of the machine, in the underlay"""
    backend: str
    """vxlan or host-gw"""
    vtep: BackendData | None = None

    @property
    def family(self) -> str:
        """IPv4 or IPv6"""
        return family_of(self.subnet)


def lease_of(node: Node, family: str = IPV4) -> Lease | None:
    """The lease of a family that a Node announces; None while it has no subnet or no flanneld has annotated it.

    Raises ValueError for annotations that make no sense.
    """
    found, cidr = node.metadata.annotations, subnet_of(node, family)
    if not cidr or found.get(MANAGED) != "true":
        return None
    try:
        data = msgspec.json.decode(found.get(BACKEND_DATA[family], "null"), type=BackendData | None)
        address = ipaddress.ip_address(found.get(PUBLIC_IP[family], ""))
        if f"IPv{address.version}" != family:
            raise ValueError(f"{address} is no {family} address")
        public_ip, subnet = str(address), str(ipaddress.ip_network(cidr))
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"error turning node {node.name!r} to lease: {error}") from None
    return Lease(node.name, subnet, public_ip, found.get(BACKEND_TYPE, ""), data)


def own_lease(node: Node, backend: str, public_ip: str) -> Lease | None:
    """The lease that this machine's flanneld is to announce, of ``public_ip``'s family; None until its Node has a
    subnet of it.

    ``direct-routing`` is a variety of vxlan, and known as that, upstream too.
    """
    family = family_of(public_ip)
    subnet = subnet_of(node, family)
    if not subnet:
        return None
    public_ip = node.metadata.annotations.get(PUBLIC_IP_OVERWRITE[family]) or public_ip
    kind = "vxlan" if backend == "direct-routing" else backend
    vtep = BackendData(VNI, vtep_mac(node.name, family)) if kind == "vxlan" else None
    return Lease(node.name, subnet, public_ip, kind, vtep)


def subnet_of(node: Node, family: str) -> str:
    """The node's pod network of a family, "" where it has none (yet)."""
    return of_family(node.spec.podCIDRs or ((node.spec.podCIDR,) if node.spec.podCIDR else ()), family)


def annotations(lease: Lease) -> dict[str, str]:
    """A lease as its Node carries it."""
    return {
        BACKEND_DATA[lease.family]: msgspec.json.encode(lease.vtep).decode(),
        BACKEND_TYPE: lease.backend,
        PUBLIC_IP[lease.family]: lease.public_ip,
        MANAGED: "true",
    }


def vtep_mac(node: str, family: str = IPV4) -> str:
    """The hardware address of a node's flannel.1: 5e (locally administered) and five bytes of the name's SHA-1; for
    flannel-v6.1, of "NAME/IPv6".

    Upstream lets the kernel choose and finds it again in the annotation; made from the name it is the same in every
    capture of a lab.
    """
    name = node if family == IPV4 else f"{node}/{family}"
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).digest()
    return bytes((0x5E, *digest[:5])).hex(":")
