"""From what people type to a packet's ends: FROM is one site, TO is an address, and what goes with it.

====================================  ================================================================================
FROM                                  a pod, a machine: as `knet.inspect.inventory` has it
TO ``pod/web-0[:PORT]``               PORT may be left out where its containers declare one
TO ``svc/web[:PORT]``                 a number or a port's name; left out, the first.  From outside of the cluster its
                                      load balancer's address, an external one, or a node port
TO ``n2[:PORT]``                      a machine, a node port
TO ``ingress/web``                    the address that the Ingress has got
TO ``dns``                            the cluster's DNS; asked for a name by UDP
TO ``10.244.1.7[:PORT]``, ``[::1]:80``
====================================  ================================================================================
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from knet.api.families import family_of
from knet.api.objects import Service
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect.inventory import MACHINE, POD, SWITCH, Inventory, Spot, nearest
from knet.inspect.world import World, addresses_of

PROTOCOLS = ("tcp", "udp", "icmp")
DNS = "dns"
_DNS_PORT = 53
_SERVICES = ("svc", "service", "services")
_INGRESSES = ("ingress", "ing", "ingresses")
_ADDRESS = re.compile(
    r"\[(?P<six>[^\]]+)\](?::(?P<port6>.+))?|(?P<four>[\d.]+)(?::(?P<port>.+))?|(?P<bare>[\da-fA-F:.]+)"
)


@dataclass(frozen=True)
class Destination:
    """Where to."""

    address: str
    port: int
    protocol: str
    text: str
    """as it was named"""
    question: str = ""
    """what the DNS is asked"""
    onward: tuple[str, ...] = ()
    """whom a proxy there asks in turn, by connections of its own, as targets"""


def source(inventory: Inventory, word: str, namespace: str) -> Spot:
    """KnetError for what is not there, is more than one site, or sends nothing."""
    found = inventory.choose([word], namespace)
    if len(found) > 1:
        names = ", ".join(str(choice.spot) for choice in found[:3])
        raise KnetError(f"{word} may be {names}{' …' if len(found) > 3 else ''}: name one of them")
    choice = found[0]
    if choice.interface:
        raise KnetError(f"{word}: a packet starts at a pod or a machine, not at one of its interfaces")
    if choice.spot.kind == SWITCH:
        raise KnetError(f"{word} is a switch, which sends nothing of its own")
    return choice.spot


class Targets:
    """Finds destinations for packets of one source."""

    def __init__(self, world: World, inventory: Inventory, origin: Spot, namespace: str, family: str) -> None:
        self._world = world
        self._inventory = inventory
        self._origin = origin
        self._namespace = namespace
        self._family = family

    def destination(self, word: str, protocol: str, question: str) -> Destination:
        """``protocol`` "" is TCP, but UDP for what has a question or is the DNS.  KnetError."""
        if protocol and protocol not in PROTOCOLS:
            raise KnetError(f"--proto {protocol}: choose one of {', '.join(PROTOCOLS)}")
        if question and protocol == "icmp":
            raise KnetError("--dns asks by UDP, not by ICMP")
        protocol = protocol or ("udp" if question or word == DNS else "tcp")
        address, port = self._found(word, protocol)
        if protocol == "icmp":
            port = 0
        elif not port:
            port = _DNS_PORT if question else 0
            if not port:
                raise KnetError(f"{word}: to which port? say {word}:PORT, or --proto icmp")
        if word == DNS and protocol == "udp" and not question:
            question = "kubernetes.default.svc.cluster.local"
        asked = question if protocol == "udp" else ""
        return Destination(address, port, protocol, word, asked, self._onward(word))

    def _onward(self, word: str) -> tuple[str, ...]:
        """The Services behind an Ingress."""
        parts = word.partition(":")[0].split("/")
        kind = next((part for part in parts[:2] if part in _INGRESSES), "")
        if not kind:
            return ()
        namespace, name = _named(word, parts, kind, self._namespace)
        spec = self._world.ingresses[Key(namespace, name)].spec
        paths = [path.backend for rule in spec.rules if rule.http for path in rule.http.paths]
        services = [row.service for row in (*paths, spec.defaultBackend) if row and row.service]
        rows = (f"{namespace}/svc/{row.name}:{row.port.number or row.port.name}" for row in services)
        return tuple(dict.fromkeys(rows))

    def _found(self, word: str, protocol: str) -> tuple[str, int]:
        literal = _literal(word)
        if literal:
            return literal
        if word == DNS:
            return self._world.settings.dns_ip, _DNS_PORT
        name, _, port = word.partition(":")
        parts = name.split("/")
        kind = next((part for part in parts[:2] if part in (*_SERVICES, *_INGRESSES)), "")
        if kind:
            namespace, plain = _named(word, parts, kind, self._namespace)
            if kind in _INGRESSES:
                return self._ingress(Key(namespace, plain), port)
            return self._service(word, Key(namespace, plain), port, protocol)
        choices = self._inventory.choose([name], self._namespace)
        if len(choices) > 1:
            raise KnetError(f"{name} may be {', '.join(str(choice.spot) for choice in choices[:3])}: name one of them")
        spot = choices[0].spot
        if spot.kind == POD:
            return self._pod(spot, port, protocol)
        if spot.kind == MACHINE:
            interfaces = self._world.topology.machines[spot.name].interfaces
            rows = [row.partition("/")[0] for interface in interfaces for row in interface.addresses]
            return self._of_family(rows, name), _number(port, word)
        raise KnetError(f"{word} is a switch, which answers nobody")

    def _of_family(self, addresses: Iterable[str], word: str) -> str:
        rows = list(addresses)
        wanted = self._family or (family_of(rows[0]) if rows else "")
        for address in rows:
            if family_of(address) == wanted:
                return address
        raise KnetError(f"{word} has no {wanted or 'address'}{' address' if wanted else ''}")

    def _pod(self, spot: Spot, port: str, protocol: str) -> tuple[str, int]:
        pod = self._world.pods.get(Key(spot.namespace, spot.name))
        if pod is None:
            raise KnetError(f"{spot} has ended meanwhile")
        rows = [port for container in pod.spec.containers for port in container.ports]
        declared = [row for row in rows if row.protocol.lower() == protocol]
        address = self._of_family((row.ip for row in pod.status.podIPs), str(spot))
        if not port:
            return address, declared[0].containerPort if declared else 0
        named = [row.containerPort for row in declared if row.name == port]
        return address, named[0] if named else _number(port, f"{spot}:{port}", [row.name for row in declared])

    def _service(self, word: str, key: Key, port: str, protocol: str) -> tuple[str, int]:
        service = self._world.services.get(key)
        if service is None:
            names = [f"svc/{row.name}" for row in self._world.services if row.namespace == key.namespace]
            near = nearest(f"svc/{key.name}", names)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise KnetError(f"there is no service {key.name} in namespace {key.namespace}{hint}")
        rows = [row for row in service.spec.ports if protocol == "icmp" or row.protocol.lower() == protocol]
        chosen = [row for row in rows if port in ("", row.name, str(row.port), str(row.nodePort or ""))]
        if port and not chosen and not port.isdigit():
            raise KnetError(f"{word}: the Service has no {protocol} port {port}; it has {_ports(service)}")
        number = chosen[0].port if chosen else int(port or 0)
        if not addresses_of(service):
            raise KnetError(f"{word} is headless: it has no address of its own; name one of its pods")
        if self._origin.kind == POD or self._origin.name in self._world.nodes:
            return self._of_family(service.spec.clusterIPs or (service.spec.clusterIP,), word), number
        outside = [address for address in addresses_of(service) if address not in service.spec.clusterIPs]
        if outside:
            return self._of_family(outside, word), number
        if chosen and chosen[0].nodePort:
            node = sorted(self._world.nodes)[0]
            rows_of = self._world.topology.machines[node].interfaces[0].addresses
            return self._of_family((row.partition("/")[0] for row in rows_of), node), chosen[0].nodePort
        raise KnetError(
            f"{word} has a ClusterIP only, to which {self._origin.name} has no way; "
            "start inside of the cluster, or give the Service the type NodePort or LoadBalancer"
        )

    def _ingress(self, key: Key, port: str) -> tuple[str, int]:
        found = self._world.ingresses.get(key)
        if found is None:
            near = nearest(f"ingress/{key.name}", [f"ingress/{row.name}" for row in self._world.ingresses])
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise KnetError(f"there is no ingress {key.name} in namespace {key.namespace}{hint}")
        rows = [row.ip for row in found.status.loadBalancer.ingress if row.ip]
        if not rows:
            raise KnetError(f"ingress/{key.name} has no address yet; is there a controller? knet up --ingress nginx")
        return self._of_family(rows, f"ingress/{key.name}"), _number(port or "80", f"ingress/{key.name}")


def _named(word: str, parts: Sequence[str], kind: str, namespace: str) -> tuple[str, str]:
    """``svc/web``, ``svc/default/web``, ``default/svc/web``."""
    rest = [part for part in parts if part != kind] if parts[0] != kind else list(parts[1:])
    if len(rest) not in (1, 2) or not all(rest):
        raise KnetError(f"{word!r}: say {kind}/NAME")
    return (rest[0], rest[1]) if len(rest) == 2 else (namespace, rest[0])


def _literal(word: str) -> tuple[str, int] | None:
    """An address, with a port or without."""
    found = _ADDRESS.fullmatch(word)
    if found is None:
        return None
    address = found["six"] or found["four"] or found["bare"]
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return None
    return address, _number(found["port6"] or found["port"] or "", word)


def _number(port: str, word: str, names: Sequence[str] = ()) -> int:
    if not port:
        return 0
    if not port.isdigit() or not 0 < int(port) < 65536:
        hint = f"; there is {', '.join(filter(None, names))}" if any(names) else ""
        raise KnetError(f"{word}: {port} is no port{hint}")
    return int(port)


def _ports(service: Service) -> str:
    return ", ".join(f"{row.name or row.port}/{row.protocol}" for row in service.spec.ports) or "none"
