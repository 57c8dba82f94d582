"""Where one can look: places, which are interfaces, at sites, which are network namespaces with somebody in them.

Both have names that need no explanation: ``n1/cni0``, ``pod/default/web-0/eth0``, ``s1/s1-eth1``.  Which of them are
meant is told in the words of `knet.inspect.inventory`; where just a site is, they are those of its interfaces that are
up, without ``lo`` and, of a switch, its bridge.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from types import TracebackType

from knet.errors import KnetError
from knet.inspect.inventory import (
    MACHINE,
    POD,
    SWITCH,
    Choice,
    Inventory,
    Spot,
    inventory,
    nearest,
    spot_of,
    spot_of_pod,
)
from knet.kernel import links
from knet.kernel.links import Link
from knet.kernel.namespaces import run_in
from knet.kernel.netlink import Netlink
from knet.kubelet.runtime.record import Held, networks
from knet.policy.population import NarrowPod
from knet.underlay.view import NetworkView, NodeState

__all__ = ["MACHINE", "POD", "SWITCH", "Choice", "Inventory", "Place", "Site", "Sites", "Spot", "inventory", "nearest"]

_LOOPBACK = "lo"


@dataclass(frozen=True)
class Site:
    """A network namespace with somebody in it."""

    spot: Spot
    machine: str
    """on which it is; a machine's own name, "" for a switch"""
    netns: int
    """a descriptor, open as long as the `Sites`"""
    cables: frozenset[str] = frozenset()
    """the interfaces by which a machine or switch is plugged in; all switches live in one namespace"""
    held: Held | None = None
    """a pod: by what its network is held"""

    @property
    def name(self) -> str:
        """``n1``, ``pod/default/web-0``, ``s1``"""
        return str(self.spot)

    @property
    def alive(self) -> bool:
        """Whether anybody lives there: False for a pod that has ended, whose network is only there because we look."""
        return self.held is None or self.held.alive

    def links(self) -> list[Link]:
        """Its interfaces now, by index."""
        with Netlink(self.netns) as netlink:
            found = links.list_links(netlink)
        if self.spot.kind != SWITCH:
            return found
        return [link for link in found if link.name in self.cables or link.name == self.spot.name]


@dataclass(frozen=True)
class Place:
    """An interface of a site."""

    site: Site
    interface: str
    index: int
    mac: str = ""
    kind: str = ""
    """as `knet.kernel.links.Link` has it: bridge, veth, vxlan …"""

    @property
    def name(self) -> str:
        """``n1/cni0``, ``pod/default/web-0/eth0``, ``s1/s1-eth1``"""
        return f"{self.site.name}/{self.interface}"

    def __str__(self) -> str:
        return self.name


class Sites:
    """The sites of a cluster, opened as they are asked for, until `close`.

    ``view`` gives the namespaces of machines and switches, and keeps them; pods' are found through their machine's
    mount namespace by what its kubelet has on disk.  A descriptor keeps a namespace, and so its interfaces, after the
    pod has ended: hold on to it no longer than one looks.
    """

    def __init__(self, view: NetworkView, inventory: Inventory) -> None:
        self.inventory = inventory
        self._view = view
        self._nodes = {node.name: node for node in inventory.nodes}
        self._open: dict[Spot, Site] = {}
        self._ended: list[Site] = []
        self._lock = threading.RLock()

    def __enter__(self) -> "Sites":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of pods' namespaces."""
        for site in (*self._open.values(), *self._ended):
            if site.held:
                site.held.close()
        self._open.clear()
        self._ended.clear()

    def forget(self, site: Site) -> None:
        """Let go of one: a pod that has ended, or that another sandbox has taken the place of."""
        with self._lock:
            if self._open.get(site.spot) is site:
                del self._open[site.spot]
            self._ended = [row for row in self._ended if row is not site]
            if site.held:
                site.held.close()

    def renew(self, inventory: Inventory) -> None:
        """What there is now; pods whose sandbox has ended will be looked for again."""
        with self._lock:
            self.inventory = inventory
            self._nodes = {node.name: node for node in inventory.nodes}
            self._ended += [site for site in self._open.values() if not site.alive]
            self._open = {spot: site for spot, site in self._open.items() if site.alive}

    def site(self, spot: Spot) -> Site:
        """KnetError where it has no network: a machine that is off, a pod that is not running."""
        return self.sites([Choice(spot)])[spot]

    def sites(self, choices: Iterable[Choice]) -> dict[Spot, Site]:
        """All that have a network; KnetError as of `site` where one that was named has none."""
        wanted = {choice.spot: choice.named for choice in choices}
        closed = [spot for spot in wanted if spot not in self._open]
        self._open_pods([self.inventory.pod[spot] for spot in closed if spot.kind == POD])
        for spot in closed:
            if spot.kind != POD:
                self._open_node(self._nodes[spot.name], wanted[spot])
        for spot, named in wanted.items():
            if named and spot not in self._open:
                phase = self.inventory.pod[spot].status.phase or "Pending"
                raise KnetError(f"{spot} has no network: it is {phase}")
        return {spot: self._open[spot] for spot in wanted if spot in self._open}

    def _open_node(self, node: NodeState, named: bool) -> None:
        spot = spot_of(node)
        try:
            netns = self._view.namespaces(node.name).fds["net"]
        except KnetError:
            if named:
                raise
            return
        cables = frozenset(row.name for row in node.interfaces)
        self._open[spot] = Site(spot, "" if node.is_switch else node.name, netns, cables)

    def _open_pods(self, pods: Sequence[NarrowPod]) -> None:
        """A machine's pods at once: whoever enters its mount namespace needs a thread."""
        machines: dict[str, dict[str, Spot]] = {}
        for pod in pods:
            if pod.spec.nodeName in self._nodes and not pod.over:
                machines.setdefault(pod.spec.nodeName, {})[pod.uid] = spot_of_pod(pod)
        for machine, spots in machines.items():
            try:
                space = self._view.namespaces(machine).only("mnt")
            except KnetError:  # it is off, and so are its pods
                continue
            for uid, held in run_in(space, partial(networks, list(spots))).items():
                self._open[spots[uid]] = Site(spots[uid], machine, held.network, held=held)

    def places(self, words: Iterable[str], namespace: str = "default") -> list[Place]:
        """The places that these words choose, each once; KnetError as of `Inventory.choose`, and where none is left."""
        with self._lock:
            return self._places(list(words), namespace)

    def _places(self, words: list[str], namespace: str) -> list[Place]:
        choices = self.inventory.choose(words, namespace)
        sites = self.sites(choices)
        found: dict[tuple[Spot, int], Place] = {}
        for choice in choices:
            if choice.spot in sites:
                for place in _places(sites[choice.spot], choice):
                    found.setdefault((choice.spot, place.index), place)
        if not found:
            raise KnetError(f"{' '.join(words)}: nothing of that has an interface that is up")
        return list(found.values())


def _places(site: Site, choice: Choice) -> Iterator[Place]:
    """The chosen interfaces of a site; KnetError where one that was named is not there."""
    there = site.links()
    wanted = choice.interface
    if not wanted:
        bridge = site.name if site.spot.kind == SWITCH else ""
        there = [link for link in there if link.up and link.name not in (_LOOPBACK, bridge)]
    found = [link for link in there if fnmatchcase(link.name, wanted or "*")]
    if not found and wanted and choice.named:
        near = nearest(wanted, [link.name for link in there]) or [link.name for link in there]
        raise KnetError(f"{site.name} has no interface {wanted}; nearest: {', '.join(near)}")
    yield from (Place(site, link.name, link.index, link.mac, link.kind) for link in found)
