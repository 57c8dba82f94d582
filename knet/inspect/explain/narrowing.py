"""Which Services matter for what an object makes different: of thousands some dozens, so that no more are drawn.  Pure.

What a Service needs is its own but for two things.  It may share addresses and endpoints with others (an external
address that two claim, entries by which a pod reaches itself).  And what is there for many (nftables' chains for so
many endpoints, iptables' rules for a set that is not empty) is there as long as any of them is, whichever it is.  So
of Services that are alike in what they need, one stands for all.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence, Set

from knet.api.families import FAMILIES
from knet.api.names import ZONE_LABEL
from knet.api.objects import Endpoint, EndpointSlice
from knet.client.controller import Key
from knet.inspect import desired
from knet.inspect.explain.objects import only
from knet.inspect.explain.picture import node_addresses, workers
from knet.inspect.world import World, addresses_of
from knet.proxy.snapshot import ServicePort


def narrowed(worlds: Sequence[World], services: Collection[Key]) -> list[World]:
    """The same worlds with these Services and those that matter to them.  All have to be alike in what decides about
    every Service: the worlds as they are, where they are not."""
    if len({_common(world) for world in worlds}) > 1:
        return list(worlds)
    wanted = {*services, *(key for world in worlds for key in related(world, services))}
    for world in worlds:
        wanted |= _standing(world, wanted)
    return [only(world, [key for key in world.services if key in wanted]) for world in worlds]


def _common(world: World) -> Hashable:
    """Of each machine the zone and, where every node port is served at each of its addresses, these."""
    zones = {name: node.metadata.labels.get(ZONE_LABEL) for name, node in world.nodes.items()}
    found = [(name, zones.get(name)) for name in workers(world)]
    if world.settings.proxy != "ipvs":
        return tuple(found)
    return tuple((*row, *(tuple(node_addresses(world, row[0], family)) for family in FAMILIES)) for row in found)


def related(world: World, services: Iterable[Key]) -> set[Key]:
    """The Services that have an address, or an endpoint, in common with these."""
    addresses = {address for key in services if key in world.services for address in addresses_of(world.services[key])}
    endpoints = {address for key in services for address in _endpoints(world.slices_of.get(key, ()))}
    found = {key for key, row in world.services.items() if not addresses.isdisjoint(addresses_of(row))}
    return found | behind(world, endpoints)


def behind(world: World, addresses: Set[str]) -> set[Key]:
    """The Services that one of these addresses is an endpoint of."""
    return {key for key, rows in world.slices_of.items() if not addresses.isdisjoint(_endpoints(rows))}


def _endpoints(rows: Iterable[EndpointSlice]) -> Iterator[str]:
    return (address for row in rows for endpoint in row.endpoints for address in endpoint.addresses)


def _standing(world: World, services: Collection[Key]) -> set[Key]:
    """Services that stand for all others than these."""
    found, seen = set[Key](), set[Hashable]()
    for family in world.settings.families:
        for name, port in desired.snapshot(world, "", family).ports.items():
            key = Key(name.namespace, name.service)
            if key not in services and not seen.issuperset(traits := set(_traits(world, key, port))):
                seen |= traits
                found.add(key)
    return found


def _traits(world: World, key: Key, port: ServicePort) -> Iterator[Hashable]:
    """What a port needs that others need as well."""
    kind = (
        *(":" in port.cluster_ip, port.protocol, bool(port.node_port), bool(port.external_ips)),
        *(bool(port.load_balancer_ips), port.source_ranges, bool(port.health_check_port), bool(port.affinity_seconds)),
        *(port.internal_local, port.external_local),
    )
    entries = {row.addresses[0]: row for part in world.slices_of.get(key, ()) for row in part.endpoints}
    where = {row.ip: entries[row.ip].nodeName for row in port.endpoints}
    states = {row.ip: (_zones(entries[row.ip]), row.ready, row.serving, row.terminating) for row in port.endpoints}
    everywhere = tuple(sorted(states.values()))
    yield kind, everywhere
    for node in set(where.values()):
        yield kind[0], kind[1], node
        if port.internal_local or port.external_local:
            yield kind, everywhere, node, tuple(sorted(states[ip] for ip, on in where.items() if on == node))


def _zones(row: Endpoint) -> tuple[str, ...]:
    return tuple(zone.name for zone in row.hints.forZones) if row.hints else ()
