"""Which names are answered how: the server blocks of a Corefile, the most specific zone first."""

from dataclasses import dataclass

from knet.api.exposition import Family
from knet.dns.directory import Directory
from knet.dns.forward import Forwarder
from knet.dns.metrics import Metrics
from knet.dns.packing import Packer
from knet.dns.settings import Forward, Settings
from knet.dns.zone import Name, Zone


@dataclass(frozen=True)
class Route:
    """A server block at work: ``zone`` comes first, then the first forwarder that is for the name."""

    name: Name
    zone: Zone | None
    forwarders: tuple[tuple[Forward, Forwarder], ...]
    log: bool

    @property
    def label(self) -> str:
        return ".".join(self.name) + "."

    def forwarder_of(self, name: Name) -> Forwarder | None:
        """None where nobody is to be asked, or nobody is known to ask."""
        for settings, forwarder in self.forwarders:
            if _below(name, settings.base) and not any(_below(name, ignored) for ignored in settings.ignored):
                return forwarder if settings.upstreams else None
        return None


class Routes:
    """All of them, and the packer of the cluster's zone."""

    def __init__(self, settings: Settings, directory: Directory, metrics: Metrics) -> None:
        self._routes: dict[Name, Route] = {}
        kubernetes = next((block.kubernetes for block in settings.blocks if block.kubernetes), None)
        zone = Zone(directory, kubernetes.domain, kubernetes.pods) if kubernetes else None
        recursive = any(row.upstreams for block in settings.blocks for row in block.forwards)
        shuffled = any(block.shuffled for block in settings.blocks if block.kubernetes)
        ttl = kubernetes.ttl if kubernetes else 0
        self.packer = Packer(zone.name if zone else (), recursive, ttl, shuffled)
        for block in settings.blocks:
            forwarders = tuple((row, Forwarder(row, block.cache, metrics)) for row in block.forwards)
            for name in block.zones:
                self._routes[name] = Route(name, zone if block.kubernetes else None, forwarders, block.log)

        self.logging = any(route.log for route in self._routes.values())

    def of(self, name: Name) -> Route | None:
        for start in range(len(name) + 1):
            if (route := self._routes.get(name[start:])) is not None:
                return route
        return None

    def families(self) -> list[Family]:
        """What the caches say of themselves."""
        server = {"server": "dns://:53", "view": ""}
        found = [
            (server | {"zones": route.label}, memory)
            for route in self._routes.values()
            for _, forwarder in route.forwarders
            if (memory := forwarder.memory) is not None
        ]
        kinds = ("success", "denial")
        return [
            Family("coredns_cache_entries", "The number of elements in the cache.", "gauge",
                   [(labels | {"type": kind}, memory.entries(kind == "denial"), 0)
                    for labels, memory in found for kind in kinds]),
            Family("coredns_cache_hits_total", "The count of cache hits.", "counter",
                   [(labels | {"type": kind}, memory.hits[kind], 0) for labels, memory in found for kind in kinds]),
            Family("coredns_cache_requests_total", "The count of cache requests.", "counter",
                   [(labels, memory.requests, 0) for labels, memory in found]),
        ]  # fmt: skip

    def all(self) -> list[Route]:
        return list(self._routes.values())


def _below(name: Name, base: Name) -> bool:
    return not base or name[-len(base) :] == base
