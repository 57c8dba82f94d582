"""What cluster DNS says of Services: records as a zone file has them.  Pure.

There is one DNS for all machines; what is asked for are the names of the Services in question and of their endpoints.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping

from knet.api.names import CLUSTER_DOMAIN
from knet.client.controller import Key
from knet.dns.directory import Directory, virtual_addresses
from knet.dns.zone import Name, Record, Srv, Zone, name_of
from knet.inspect.explain.picture import Picture, Section
from knet.inspect.world import World

SECTION = Section("dns", CLUSTER_DOMAIN)


def changed(before: World, after: World) -> set[Key]:
    """The Services whose records may be others."""
    found: set[Key] = set()
    pairs: tuple[tuple[Mapping[Key, object], Mapping[Key, object]], ...] = (
        (before.services, after.services),
        (before.slices_of, after.slices_of),
    )
    for old, new in pairs:
        found |= {key for key in {**old, **new} if old.get(key) != new.get(key)}
    return found


def records(world: World, services: Iterable[Key]) -> Picture:
    """The records of these Services that are there."""
    directory = world.once("directory", lambda: _directory(world))
    zone = Zone(directory, CLUSTER_DOMAIN)
    lines = {str_of(record) for key in services for record in _records(world, directory, zone, key)}
    return {SECTION: tuple(sorted(lines))}


def _directory(world: World) -> Directory:
    return Directory(world.services.values(), world.slices.values(), world.namespaces.values())


def _records(world: World, directory: Directory, zone: Zone, key: Key) -> Iterator[Record]:
    service = world.services.get(key)
    if service is None:
        return
    own = (service.name, service.namespace, "svc", *name_of(CLUSTER_DOMAIN))
    ready = list(directory.ready(service))
    asked: list[tuple[Name, str]] = [(own, kind) for kind in ("A", "AAAA", "CNAME")]
    asked += [((f"_{port.name}", f"_{port.protocol.lower()}", *own), "SRV") for port in service.spec.ports if port.name]
    asked += [((row.hostname.lower(), *own), kind) for row in ready for kind in ("A", "AAAA")]
    addresses = [*virtual_addresses(service), *(row.address for row in ready)]
    asked += [(name_of(ipaddress.ip_address(address).reverse_pointer), "PTR") for address in addresses]
    for name, kind in dict.fromkeys(asked):
        answer = zone.lookup(name, kind)
        for record in answer.records if answer else ():
            # another Service with the same endpoint has a reverse name there, too
            if record.type != "PTR" or (isinstance(record.data, tuple) and record.data[-len(own) :] == own):
                yield record


def str_of(record: Record) -> str:
    """``web.default.svc.cluster.local A 10.96.0.80``"""
    data = record.data
    if isinstance(data, Srv):
        text = f"{data.priority} {data.weight} {data.port} {'.'.join(data.target)}"
    else:
        text = data if isinstance(data, str) else ".".join(data)
    return f"{'.'.join(record.name)} {record.type} {text}"
