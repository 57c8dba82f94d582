"""A lease: which machine holds which part of the pod network, and how to reach it there.

With Kubernetes' own subnet manager (``--kube-subnet-mgr``) flannel leases nothing itself: the node IPAM controller
assigns ``spec.podCIDR``, and each flanneld tells the others about its end in annotations of its Node, under upstream's
names, so that an upstream flanneld understands ours.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

import msgspec

from knet.api.objects import Node

_PREFIX = "flannel.alpha.coreos.com/"
BACKEND_TYPE = _PREFIX + "backend-type"
BACKEND_DATA = _PREFIX + "backend-data"
PUBLIC_IP = _PREFIX + "public-ip"
PUBLIC_IP_OVERWRITE = _PREFIX + "public-ip-overwrite"
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
    """the node's podCIDR"""
    public_ip: str
    """of the machine, in the underlay"""
    backend: str
    """vxlan or host-gw"""
    vtep: BackendData | None = None


def lease_of(node: Node) -> Lease | None:
    """The lease that a Node announces; None while it has no subnet or no flanneld has annotated it.

    Raises ValueError for annotations that make no sense.
    """
    found = node.metadata.annotations
    if not node.spec.podCIDR or found.get(MANAGED) != "true":
        return None
    try:
        data = msgspec.json.decode(found.get(BACKEND_DATA, "null"), type=BackendData | None)
        public_ip = str(ipaddress.IPv4Address(found.get(PUBLIC_IP, "")))
        subnet = str(ipaddress.IPv4Network(node.spec.podCIDR))
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"error turning node {node.name!r} to lease: {error}") from None
    return Lease(node.name, subnet, public_ip, found.get(BACKEND_TYPE, ""), data)


def own_lease(node: Node, backend: str, public_ip: str) -> Lease | None:
    """The lease that this machine's flanneld is to announce; None until its Node has a subnet.

    ``direct-routing`` is a variety of vxlan, and known as that, upstream too.
    """
    if not node.spec.podCIDR:
        return None
    public_ip = node.metadata.annotations.get(PUBLIC_IP_OVERWRITE) or public_ip
    kind = "vxlan" if backend == "direct-routing" else backend
    vtep = BackendData(VNI, vtep_mac(node.name)) if kind == "vxlan" else None
    return Lease(node.name, node.spec.podCIDR, public_ip, kind, vtep)


def annotations(lease: Lease) -> dict[str, str]:
    """A lease as its Node carries it."""
    return {
        BACKEND_DATA: msgspec.json.encode(lease.vtep).decode(),
        BACKEND_TYPE: lease.backend,
        PUBLIC_IP: lease.public_ip,
        MANAGED: "true",
    }


def vtep_mac(node: str) -> str:
    """The hardware address of a node's flannel.1: 5e (locally administered) and five bytes of the name's SHA-1.

    Upstream lets the kernel choose and finds it again in the annotation; made from the name it is the same in every
    capture of a lab.
    """
    digest = hashlib.sha1(node.encode(), usedforsecurity=False).digest()
    return bytes((0x5E, *digest[:5])).hex(":")
