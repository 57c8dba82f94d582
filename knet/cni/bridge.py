"""One sandbox's connection: a veth pair from the pod's eth0 to the node's bridge cni0 (the CNI plugin ``bridge``).

::

    pod's namespace                      machine's namespace
    eth0 10.244.1.7/24 ───────────────── veth5e0c1b2a ─┐
      default via 10.244.1.1                           ├ cni0 10.244.1.1/24 ── routes of flanneld, rules of kube-proxy
    eth0 10.244.1.8/24 ───────────────── veth90d1f3c4 ─┘

* The pair is created with its far end in the pod's namespace, already called eth0; five messages there and two here,
  which are composed once and then filled in (`_Messages`).
* Hardware addresses are made from IP addresses (0a:58 and the four bytes, as flannel's bridge plugin did for years):
  they are readable in a capture, and a neighbour's cache entry stays right when an address gets a new owner.  A pod
  that has no IPv4 address has the last four bytes of its IPv6 address.
* Hairpin on each port: a pod may reach itself through its Service, so its frame leaves by the port it came from.
* Of IPv6 a pod has the one address it is given, and none that its interface makes up: a hundred pods on a bridge would
  greet each other with ten thousand multicast packets.  cni0 has a link-local one, from which it asks for neighbours.
* The host's end is called after the pod, so that it can be told without asking anybody; its alias is the pod's name.
"""

import errno
import functools
import hashlib
import ipaddress
import logging
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from knet.api.families import split
from knet.cni.ipam import DATA_DIR, NETWORK, AddressesExhausted, Allocation, Ipam
from knet.kernel import addresses, links, routes
from knet.kernel.netlink import Netlink, NetlinkError
from knet.kernel.netlink_wire import Request, Template

log = logging.getLogger(__name__)

BRIDGE = "cni0"
POD_INTERFACE = "eth0"
#: of cni0, the same on every machine: it is for the pods of one
LINK_LOCAL = "fe80::1/64"
_LO = 1  # the index of lo, in every namespace


class CniError(RuntimeError):
    """The sandbox could not be connected, or is not connected as it should be; one line."""


@dataclass(frozen=True)
class CniResult:
    """A connected sandbox."""

    addresses: tuple[str, ...]
    """of the pod, one of each family, without prefix length: 10.244.1.7"""
    gateways: tuple[str, ...]
    """of its default routes, the node's addresses on cni0"""
    host_interface: str
    """the machine's end of the pair"""
    mac: str
    """of the pod's eth0"""

    @property
    def address(self) -> str:
        """The first address, or the only one."""
        return self.addresses[0]

    @property
    def gateway(self) -> str:
        return self.gateways[0]


def veth_name(pod: str) -> str:
    """The machine's end of a pod's pair: "veth" and eight hexadecimal digits of the SHA-1 of "namespace/name"."""
    return "veth" + hashlib.sha1(pod.encode(), usedforsecurity=False).hexdigest()[:8]


def mac_of(address: str) -> str:
    """The hardware address that goes with an IP address: locally administered 0a:58, then its (last) four bytes."""
    return (b"\x0a\x58" + ipaddress.ip_address(address).packed[-4:]).hex(":")


class Plugin:
    """The plugin on one machine.  To be made in the machine's network namespace, and used by one thread."""

    def __init__(self, data_dir: Path = DATA_DIR) -> None:
        self._netlink = Netlink()
        self._ipam = Ipam(data_dir / NETWORK)
        self._bridge = _Bridge(0, (), 0)

    def close(self) -> None:
        self._netlink.close()

    def add(self, netns: int, container_id: str, pod: str, subnet: str, mtu: int) -> CniResult:
        """Connect the network namespace that the descriptor ``netns`` refers to; about 1.5 ms, nearly all the kernel's.

        ``container_id`` is the sandbox's; ``pod`` its "namespace/name"; ``subnet`` (one of each family, with a comma
        between) and ``mtu`` the node's, from `knet.cni.network_config`.  Raises CniError, and then has taken nothing.
        """
        try:
            allocation = self._ipam.allocate(subnet, container_id, pod)
        except (OSError, AddressesExhausted) as error:
            raise CniError(f'plugin type="host-local" failed (add): {error}') from error
        sandbox = _Sandbox(allocation, subnet)
        try:
            bridge = self._ensure_bridge(sandbox, mtu)
            messages = _messages(subnet, mtu, bridge, len(_alias(allocation).encode()))
            self._create_pair(sandbox, messages.outside(netns, sandbox))
            _configure_inside(netns, sandbox, messages)
        except OSError as error:
            self._ipam.release(container_id)
            raise CniError(f'plugin type="bridge" failed (add): {error.strerror}') from error
        return sandbox.result

    def remove(self, container_id: str) -> None:
        """Disconnect a sandbox and give its address back; content where that has happened already.

        The pair itself vanishes with the pod's namespace, which costs nothing, while deleting it would cost 30 ms.
        Should the namespace still live, the port is taken down, so that the address is free in truth.
        """
        allocation = self._ipam.find(container_id)
        if allocation is None:
            return
        link = links.find(self._netlink, veth_name(allocation.pod))
        if link is not None and link.alias == _alias(allocation):
            self._send_unless_gone(links.change(link.index, up=False))
        self._ipam.release(container_id)

    def gc(self, valid: Collection[str]) -> list[str]:
        """Remove all sandboxes but ``valid`` ones and return their ids (CNI 1.1's GC).

        For the start of a kubelet: one that was killed between `add` and its own record has left an address behind.
        """
        stale = [held.container_id for held in self._ipam.held() if held.container_id not in valid]
        for container_id in stale:
            self.remove(container_id)
        return stale

    def check(self, netns: int, container_id: str, subnet: str) -> CniResult:
        """What `add` made, found intact in the kernel; CniError naming the first thing that is not."""
        allocation = self._ipam.find(container_id)
        if allocation is None:
            raise CniError(f"no address is recorded for sandbox {container_id}")
        sandbox = _Sandbox(allocation, subnet)
        with Netlink(netns) as inside:
            problem = self._outer_problem(sandbox) or _inner_problem(inside, sandbox)
        if problem:
            raise CniError(f"{allocation.pod}: {problem}")
        return sandbox.result

    def _create_pair(self, sandbox: "_Sandbox", requests: tuple[Request, ...]) -> None:
        name = sandbox.result.host_interface
        try:
            self._netlink.send(*requests)
        except NetlinkError as error:
            former = links.find(self._netlink, name)
            if error.errno != errno.EEXIST or former is None:
                raise
            log.info("link %s: replaced, because it is left over from a former sandbox", name)
            self._send_unless_gone(links.delete(former.index))
            self._netlink.send(*requests)

    def _ensure_bridge(self, sandbox: "_Sandbox", mtu: int) -> int:
        """The index of cni0, which is inspected only if it is not the one that was inspected before."""
        gateways = sandbox.gateways
        try:
            if _Bridge(self._netlink.index(BRIDGE), gateways, mtu) == self._bridge:
                return self._bridge.number
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise
        bridge = links.ensure_bridge(self._netlink, BRIDGE, mac=mac_of(sandbox.result.gateway), mtu=mtu)
        for gateway in gateways:
            addresses.ensure(self._netlink, addresses.Address(BRIDGE, gateway), alone=True)
        if any(":" in gateway for gateway in gateways):
            addresses.ensure(self._netlink, addresses.Address(BRIDGE, LINK_LOCAL, scope="link"))
        self._bridge = _Bridge(bridge.index, gateways, mtu)
        return bridge.index

    def _outer_problem(self, sandbox: "_Sandbox") -> str:
        port = links.find(self._netlink, sandbox.result.host_interface)
        bridge = links.find(self._netlink, BRIDGE)
        if port is None or not port.up:
            return f"{sandbox.result.host_interface} is {'down' if port else 'missing'}"
        if bridge is None or not bridge.up:
            return f"{BRIDGE} is {'down' if bridge else 'missing'}"
        if port.master != bridge.index:
            return f"{port.name} is not a port of {BRIDGE}"
        return ""

    def _send_unless_gone(self, request: Request) -> None:
        """For an interface that may vanish at any time, because its namespace is being torn down."""
        try:
            self._netlink.send(request)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                raise


class _Bridge(NamedTuple):
    """What cni0 was seen to be."""

    number: int
    gateways: tuple[str, ...]
    mtu: int


class _Sandbox:
    """What follows from an allocation."""

    def __init__(self, allocation: Allocation, subnet: str) -> None:
        networks = [ipaddress.ip_network(cidr) for cidr in split(subnet)]
        self.allocation = allocation
        self.result = CniResult(
            addresses=allocation.addresses,
            gateways=tuple(str(network[1]) for network in networks),
            host_interface=veth_name(allocation.pod),
            mac=mac_of(allocation.address),
        )
        lengths = [network.prefixlen for network in networks]
        self.gateways = _prefixed(self.result.gateways, lengths)
        self.addresses = [addresses.Address(POD_INTERFACE, own) for own in _prefixed(allocation.addresses, lengths)]
        self.routes = [default_route(gateway) for gateway in self.result.gateways]


def _prefixed(plain: Iterable[str], lengths: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{address}/{length}" for address, length in zip(plain, lengths, strict=True))


class _Messages:
    """What is said to the kernel for each pod of a node: composed once, in 1.2 ms, then filled in, in 14 µs a pod.

    `Plugin.add` takes 1.4 to 1.7 ms, 0.3 of them Python's, as it did with messages that knet encoded by hand.
    Placeholders are what no pod has (an index, a descriptor, a name), or a pod's address that fits the subnet.
    """

    def __init__(self, subnet: str, mtu: int, bridge: int, alias_length: int) -> None:
        networks = [ipaddress.ip_network(cidr) for cidr in split(subnet)]
        index, netns, name, alias = 0x7E7E7E7E, 0x7D7D7D7D, "veth????????", "~" * alias_length
        mac = mac_of(str(networks[0][2]))
        near, far = links.VethEnd(name, mtu=mtu), links.VethEnd(POD_INTERFACE, netns=netns, mtu=mtu, mac=mac)
        self._create = Template(links.create_veth(near, far, master=bridge), name=name, netns=netns, mac=mac)
        port = links.change(name, up=True, hairpin=True, alias=alias, link_local=False)
        self._port = Template(port, name=name, alias=alias)
        self._lo_up = links.change(_LO, up=True)
        self._no_link_local = Template(links.change(index, link_local=False), index=index)
        self._up = Template(links.change(index, up=True), index=index)
        self._addresses, self._routes = [], []
        for network in networks:
            address = str(network[2])
            own = addresses.Address(POD_INTERFACE, f"{address}/{network.prefixlen}")
            self._addresses.append(Template(addresses.add(own, index), index=index, address=address))
            self._routes.append(Template(routes.add(default_route(str(network[1])), index), index=index))

    def outside(self, netns: int, sandbox: _Sandbox) -> tuple[Request, ...]:
        """Create the pair and make the machine's end a port of the bridge."""
        name = sandbox.result.host_interface
        return (
            self._create.fill(name=name, netns=netns, mac=sandbox.result.mac),
            self._port.fill(name=name, alias=_alias(sandbox.allocation)),
        )

    def inside(self, eth0: int, sandbox: _Sandbox) -> tuple[Request, ...]:
        """Make the pod's end, which has that index, its way into the world."""
        return (
            self._lo_up,
            self._no_link_local.fill(index=eth0),
            self._up.fill(index=eth0),
            *(
                template.fill(index=eth0, address=address)
                for template, address in zip(self._addresses, sandbox.result.addresses, strict=True)
            ),
            *(template.fill(index=eth0) for template in self._routes),
        )


#: for each length of an alias; the names of a Deployment's pods are of one length
_messages = functools.lru_cache(maxsize=256)(_Messages)


def default_route(gateway: str) -> routes.Route:
    """Of a pod, by its machine's address on the bridge."""
    return routes.Route("::/0" if ":" in gateway else "default", POD_INTERFACE, gateway)


def _configure_inside(netns: int, sandbox: _Sandbox, messages: _Messages) -> None:
    with Netlink(netns) as inside:
        inside.send(*messages.inside(inside.index(POD_INTERFACE), sandbox))


def _inner_problem(inside: Netlink, sandbox: _Sandbox) -> str:
    eth0 = links.find(inside, POD_INTERFACE)
    if eth0 is None or not eth0.up:
        return f"{POD_INTERFACE} is {'down' if eth0 else 'missing'}"
    present = addresses.list_addresses(inside, POD_INTERFACE)
    for address, route in zip(sandbox.addresses, sandbox.routes, strict=True):
        if address not in present:
            return f"{POD_INTERFACE} lacks the address {address.address}"
        if route not in routes.list_routes(inside, family=socket.AF_INET6 if ":" in route.gateway else socket.AF_INET):
            return f"no route {route}"
    return ""


def _alias(allocation: Allocation) -> str:
    """The pod and its sandbox, in the 255 bytes that an alias may have."""
    return f"{allocation.container_id[:13]} {allocation.pod}"[:255]
