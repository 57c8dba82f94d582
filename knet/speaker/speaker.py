"""The shell around the election of layer-2 mode: Services in, addresses of the underlay's interface and adverts out."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable

from knet.api.load_balancers import held, is_ours
from knet.api.objects import Node, Service
from knet.client import Client
from knet.kernel import addresses, sysctl
from knet.kernel.addresses import Address
from knet.kernel.announce import announce
from knet.kernel.netlink import Netlink
from knet.speaker import advert
from knet.speaker.balancers import Balancers
from knet.speaker.election import Election, Turn
from knet.speaker.ranking import candidates, places

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: adverts that are accompanied by an announcement after an address was taken: one frame may be lost
ANNOUNCED = 5


class Speaker:
    """``interval`` (seconds) is that of adverts; an address is missed for about three of them when its holder goes."""

    def __init__(
        self, client: Client, netlink: Netlink, node: str, node_ip: str, interface: str, interval: float
    ) -> None:
        self._netlink = netlink
        self._node = node
        self._ip = node_ip
        self._interface = interface
        self._election = Election(node, interval)
        self._wake = asyncio.Event()
        self._stale = True
        self._balancers = Balancers(client, node, "layer2", _wants_local, self._changed)
        self._announcing: dict[str, int] = {}
        self._socket = _socket(node_ip, interface)
        self._everybody = _everybody(node_ip, interface)

    async def run(self) -> None:
        """Until cancelled; then give up what is held."""
        # other machines' Services may have addresses here, as IPVS's do: only an interface that has one answers for it
        sysctl.ensure("net.ipv4.conf.all.arp_ignore", 1)
        sysctl.ensure("net.ipv4.conf.all.arp_announce", 2)
        loop = asyncio.get_running_loop()
        with self._socket:
            async with asyncio.TaskGroup() as tasks:
                await self._balancers.start(tasks)
                self._election.stand(self._places(), loop.time(), self._present())
                self._have(self._election.held)
                loop.add_reader(self._socket, self._hear)
                try:
                    await self._follow(tasks)
                finally:
                    loop.remove_reader(self._socket)
                    self._election.retire()
                    self._carry_out(self._election.turn(loop.time()))

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if self._stale:
                self._stale = False
                await self._balancers.follow(tasks)
                self._election.stand(self._places(), loop.time())
            turn = self._election.turn(loop.time())
            self._carry_out(turn)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(turn.wake):
                    await self._wake.wait()

    def _changed(self) -> None:
        self._stale = True
        self._wake.set()

    def _places(self) -> dict[str, int]:
        """The addresses that this machine may hold: those of its own network, with the candidates that are in it."""
        networks = self._networks()
        homes = self._balancers.homes()
        standing: dict[str, list[str]] = {}
        for service in self._balancers.services.list():
            local = homes.get((service.namespace, service.name), set())
            for address in held(service) if is_ours(service) else ():
                around = [network for network in networks if ipaddress.ip_address(address) in network]
                near = [node for node in self._balancers.nodes.list() if _is_in(node, around)]
                standing[address] = candidates(service, local, near)
        return places(standing, self._node)

    def _networks(self) -> list[Network]:
        found = [ipaddress.ip_interface(row.address) for row in self._own_addresses()]
        return [row.network for row in found if row.network.num_addresses > 1]

    def _own_addresses(self) -> list[Address]:
        return [row for row in addresses.list_addresses(self._netlink, self._interface) if row.scope == "global"]

    def _present(self) -> frozenset[str]:
        """The addresses that a speaker gave this machine: single ones."""
        found = [ipaddress.ip_interface(row.address) for row in self._own_addresses()]
        return frozenset(str(row.ip) for row in found if row.network.num_addresses == 1 and str(row.ip) != self._ip)

    # ---- what is decided is done ---------------------------------------------------------------------------------

    def _carry_out(self, turn: Turn) -> None:
        for address in turn.taken:
            self._balancers.announced(address)
        for address in turn.lost:
            self._balancers.withdrawn(address)
            self._announcing.pop(address, None)
        if turn.taken or turn.lost:
            self._have(self._election.held)
        self._announcing |= dict.fromkeys((*turn.taken, *turn.reclaimed), ANNOUNCED)
        if turn.advert is None:
            return
        with contextlib.suppress(OSError):  # the interface is down: nobody hears
            self._socket.sendto(advert.encode(turn.advert), self._everybody)
            for address, left in list(self._announcing.items()):
                announce(self._interface, address)
                self._announcing[address] = left - 1
                if left == 1:
                    del self._announcing[address]

    def _have(self, wanted: frozenset[str]) -> None:
        """Give the interface these addresses, beside the machine's own."""
        present = self._present()
        for address in present - wanted:
            addresses.remove(self._netlink, self._single(address))
        for address in wanted - present:
            addresses.ensure(self._netlink, self._single(address))

    def _single(self, address: str) -> Address:
        length = ipaddress.ip_address(address).max_prefixlen
        return Address(self._interface, f"{address}/{length}", source=False)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                said = advert.decode(self._socket.recv(advert.LARGEST))
                if said is not None and self._election.heard(said, asyncio.get_running_loop().time()):
                    self._wake.set()


def _wants_local(service: Service) -> bool:
    return service.spec.externalTrafficPolicy == "Local"


def _is_in(node: Node, networks: Iterable[Network]) -> bool:
    internal = [ipaddress.ip_address(row.address) for row in node.status.addresses if row.type == "InternalIP"]
    return any(address in network for network in networks for address in internal)


def _socket(node_ip: str, interface: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in node_ip else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", advert.PORT))
    return made


def _everybody(node_ip: str, interface: str) -> tuple[str, int] | tuple[str, int, int, int]:
    """Where all on the link hear it: IPv4's broadcast, IPv6's group of all nodes."""
    if ":" in node_ip:
        return "ff02::1", advert.PORT, 0, socket.if_nametoindex(interface)
    return "255.255.255.255", advert.PORT
