"""Services, EndpointSlices and Namespaces as DNS looks them up: by name, by namespace, by address.  No I/O.

Informers feed it (`service_changed`, `slice_changed`, `namespace_changed` are subscribers); `knet.dns.zone` reads it.
"""

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointPort, EndpointSlice, Namespace, Service

#: the addressType of slices that hold no addresses; kube-proxy does without them, too
_NAMES = "FQDN"


class ServiceKey(NamedTuple):
    namespace: str
    name: str


class Serving(NamedTuple):
    """An address of a ready endpoint, together with its slice's ports.

    ``hostname`` is the label of its own name: the pod's hostname, else the address as CoreDNS writes it
    (``10-244-1-2``, ``fd00--7``).
    """

    address: str
    hostname: str
    ports: tuple[EndpointPort, ...]


class Directory:
    """What is known of the cluster.  ``version`` grows with each change of an answer, so that answers can be cached."""

    def __init__(
        self,
        services: Iterable[Service] = (),
        slices: Iterable[EndpointSlice] = (),
        namespaces: Iterable[Namespace] = (),
    ) -> None:
        self.version = 0
        self._services: dict[ServiceKey, Service] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = defaultdict(dict)
        self._namespaces: set[str] = set()
        self._by_address: dict[str, Counter[ServiceKey]] = defaultdict(Counter)
        for service in services:
            self.service_changed(None, service)
        for row in slices:
            self.slice_changed(None, row)
        for namespace in namespaces:
            self.namespace_changed(None, namespace)

    def service(self, namespace: str, name: str) -> Service | None:
        return self._services.get(ServiceKey(namespace, name))

    def has_namespace(self, namespace: str) -> bool:
        return namespace in self._namespaces

    def ready(self, service: Service) -> Iterator[Serving]:
        """The ready endpoints of a Service (all of them with publishNotReadyAddresses: the slice says so)."""
        slices = self._slices.get(ServiceKey(service.namespace, service.name), {})
        for name in sorted(slices):
            for endpoint in slices[name].endpoints if slices[name].addressType != _NAMES else ():
                if endpoint.conditions.ready is not False:
                    for address in endpoint.addresses:
                        own = _canonical(address)
                        yield Serving(own, endpoint.hostname or _label(own), slices[name].ports)

    def at(self, address: str) -> list[Service]:
        """The Services with that virtual address, or with an endpoint there; IPv6 in its canonical form."""
        keys = sorted(self._by_address.get(address, ()))
        return [self._services[key] for key in keys if key in self._services]

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        self.version += old is None or new is None or old.spec != new.spec  # its status is no matter of DNS
        if old is not None:
            key = ServiceKey(old.namespace, old.name)
            del self._services[key]
            self._forget(key, virtual_addresses(old))
        if new is not None:
            key = ServiceKey(new.namespace, new.name)
            self._services[key] = new
            self._remember(key, virtual_addresses(new))

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        self.version += old is None or new is None or _told(old) != _told(new)
        if old is not None:
            key = _owner(old)
            self._slices[key].pop(old.name, None)
            if not self._slices[key]:
                del self._slices[key]
            self._forget(key, _endpoint_addresses(old))
        if new is not None:
            key = _owner(new)
            self._slices[key][new.name] = new
            self._remember(key, _endpoint_addresses(new))

    def namespace_changed(self, old: Namespace | None, new: Namespace | None) -> None:
        self.version += old is None or new is None
        if old is not None:
            self._namespaces.discard(old.name)
        if new is not None:
            self._namespaces.add(new.name)

    def _remember(self, key: ServiceKey, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._by_address[address][key] += 1

    def _forget(self, key: ServiceKey, addresses: Iterable[str]) -> None:
        for address in addresses:
            counts = self._by_address[address]
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
            if not counts:
                del self._by_address[address]


def _told(row: EndpointSlice) -> tuple[object, ...]:
    """What answers are made of."""
    return _owner(row), row.addressType, row.endpoints, row.ports


def _owner(row: EndpointSlice) -> ServiceKey:
    return ServiceKey(row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, ""))


def _label(address: str) -> str:
    """A label may not end in a dash, so ``fd00::`` is ``fd00--0``."""
    label = address.replace(".", "-").replace(":", "-")
    return f"{label}0" if label.endswith("-") else label


def virtual_addresses(service: Service) -> list[str]:
    """None for a headless Service and for an ExternalName."""
    addresses = service.spec.clusterIPs or (service.spec.clusterIP,)
    return [_canonical(address) for address in addresses if address not in ("", "None")]


def _endpoint_addresses(row: EndpointSlice) -> list[str]:
    if row.addressType == _NAMES:
        return []
    return [_canonical(address) for endpoint in row.endpoints for address in endpoint.addresses]


def _canonical(address: str) -> str:
    """As reverse names are read; a slice made by hand may have written it otherwise."""
    return str(ipaddress.IPv6Address(address)) if ":" in address else address
