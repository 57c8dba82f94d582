"""The speaker of BGP mode: what this machine announces becomes routes in a kernel table of their own.

That table forwards nothing, for no rule points to it.  The machine's BIRD learns from it and tells the router (see
`knet.cluster.bird`), so neither need know when the other starts, dies or comes back, and ``ip route show table 179``
is what is announced.
"""

import asyncio
import socket

import msgspec

from knet.api.load_balancers import ANNOUNCED_TABLE
from knet.client import Client
from knet.kernel import routes
from knet.kernel.netlink import Netlink
from knet.speaker import announcements
from knet.speaker.balancers import Balancers


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``node_ip`` are the machine's addresses, one of each family."""

    kubeconfig: str
    node_name: str
    node_ip: str
    timing: str = "lab"


async def serve(options: Options) -> None:
    """Run until cancelled, and withdraw everything; killed, it leaves its routes to its successor."""
    families = {socket.AF_INET6 if ":" in address else socket.AF_INET for address in options.node_ip.split(",")}
    with Netlink() as netlink:
        async with Client.from_kubeconfig(options.kubeconfig, "speaker") as client:
            await Announcer(client, netlink, options.node_name, families).run()


class Announcer:
    def __init__(self, client: Client, netlink: Netlink, node: str, families: set[socket.AddressFamily]) -> None:
        self._netlink = netlink
        self._node = node
        self._families = families
        self._wake = asyncio.Event()
        self._balancers = Balancers(client, node, "bgp", lambda _: True, self._wake.set)

    async def run(self) -> None:
        """Until cancelled; then withdraw everything."""
        balancers = self._balancers
        async with asyncio.TaskGroup() as tasks:
            await balancers.start(tasks)
            try:
                while True:
                    self._wake.clear()
                    await balancers.follow(tasks)
                    node = balancers.nodes.get("", self._node)
                    self._announce(announcements.announced(balancers.services.list(), balancers.homes(), node))
                    await self._wake.wait()
            finally:
                self._announce(frozenset())

    def _announce(self, addresses: frozenset[str]) -> None:
        """Let the table hold these addresses and no others."""
        wanted = {route.destination: route for route in map(announcements.route, addresses)}
        present = {
            route.destination: route
            for family in self._families
            for route in routes.list_routes(self._netlink, table=ANNOUNCED_TABLE, family=family)
        }
        for destination in present.keys() - wanted.keys():
            routes.remove(self._netlink, present[destination])
            self._balancers.withdrawn(destination.partition("/")[0])
        for destination in wanted.keys() - present.keys():
            self._netlink.send(routes.add(wanted[destination], 0))
            self._balancers.announced(destination.partition("/")[0])
