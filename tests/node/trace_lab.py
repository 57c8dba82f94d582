"""Two machines on a cable, and a probe that is watched between them."""

import contextlib
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from knet.inspect.observe import probes, rules
from knet.inspect.observe.lookups import Asked
from knet.inspect.observe.rules import Words
from knet.inspect.observe.watch import Watch, Watched
from knet.inspect.observe.way import Way
from knet.inspect.trace.evidence import Probe
from knet.inspect.trace.hops import Hop
from knet.inspect.world import Topology
from knet.kernel import namespaces
from knet.kernel.links import VethEnd, create_veth
from knet.kernel.namespaces import Namespaces, entered, run_in
from knet.kernel.netlink import Netlink
from knet.kernel.sniffer import await_stamps
from knet.underlay.carrier import wait_until_operational
from knet.underlay.state import LinkState, Sending
from knet.underlay.view import InterfaceState, NodeState

ADDRESSES = {"a": ("10.9.0.1/24", "fd09::1/64"), "b": ("10.9.0.2/24", "fd09::2/64")}
TOPOLOGY = Topology(
    tuple(
        NodeState(name, "worker", 1, (InterfaceState(f"{name}-eth0", "", f"{peer}-eth0", ADDRESSES[name]),))
        for name, peer in (("a", "b"), ("b", "a"))
    ),
    (LinkState((Sending("a", "a-eth0"), Sending("b", "b-eth0")), "up", 1500, True),),
)
#: seconds without a sign after which a packet is lost
PATIENCE = 0.3


@dataclass(frozen=True)
class Lab:
    machines: dict[str, Namespaces]

    @property
    def spaces(self) -> dict[str, int]:
        return {name: held.fds["net"] for name, held in self.machines.items()}

    def run(self, machine: str, *lines: str) -> str:
        """Shell commands on a machine; their output."""
        argv = ["/bin/sh", "-ec", "\n".join(lines)]
        done = run_in(self.machines[machine], lambda: subprocess.run(argv, capture_output=True, text=True, check=True))
        return done.stdout

    def watched(self, protocol: str, address: str, port: int = 0, ruled: bool = True) -> tuple[Watched, list[Hop]]:
        """A probe from a: what was seen, and as hops."""
        return watched(self.machines, "a", (protocol, address, port), self.machines if ruled else (), TOPOLOGY)


def watched(
    spaces: Mapping[str, Namespaces],
    home: str,
    to: tuple[str, str, int],
    ruled: Collection[str],
    topology: Topology = Topology(),
) -> tuple[Watched, list[Hop]]:
    """A probe of a site, to a protocol, address and port: what was seen at all sites, and as hops."""
    netns = {name: held.fds["net"] for name, held in spaces.items()}
    with entered(spaces[home].only("net")):
        sender = probes.prepared(*to, 0, 0)
    with contextlib.closing(sender), Watch(sender, netns, frozenset(ruled)) as watch:
        with entered(spaces[home].only("net")):
            await_stamps()
        found = watch.run(PATIENCE, PATIENCE)
        packet = sender.packet()
    with contextlib.ExitStack() as stack:
        asked = {name: Asked(name, space) for name, space in netns.items()}
        for row in asked.values():
            stack.callback(row.close)
        roots = {}
        for name, events in found.events.items():
            with entered(spaces[name].only("net")), contextlib.closing(Words()) as words:
                roots[name] = rules.roots(events, words)
        way = Way(Probe(home, packet), topology, asked.__getitem__, roots, lambda root: sender.mark.way(root.seen))
        return found, way.observed(found).hops


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """The machines a and b, with both families; b answers on TCP port 80."""
    with contextlib.ExitStack() as stack:
        machines = {name: namespaces.create("net") for name in ADDRESSES}
        for held in machines.values():
            stack.callback(held.close)
        with Netlink(machines["a"].fds["net"]) as netlink:
            netlink.send(create_veth(VethEnd("a-eth0"), VethEnd("b-eth0", netns=machines["b"].fds["net"])))
        made = Lab(machines)
        for name, (four, six) in ADDRESSES.items():
            interface = f"{name}-eth0"
            addresses = [f"ip addr add {row} dev {interface}" for row in (four, f"{six} nodad")]
            made.run(name, "ip link set lo up", *addresses, f"ip link set {interface} up")
        for name, held in machines.items():
            wait_until_operational(held.fds["net"], [f"{name}-eth0"])
        yield made
