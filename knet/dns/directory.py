"""Services and EndpointSlices as DNS looks them up: by name, by namespace, by address.  No I/O.

Informers feed it (`service_changed`, `slice_changed` are subscribers); `knet.dns.zone` reads it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import Endpoint, EndpointPort, EndpointSlice, Service


class ServiceKey(NamedTuple):
    namespace: str
    name: str


class Serving(NamedTuple):
    """A ready endpoint of a Service, together with its slice's ports."""

    endpoint: Endpoint
    ports: tuple[EndpointPort, ...]

    @property
    def hostname(self) -> str:
        """The label of its own name: the pod's hostname, else its address (as CoreDNS: ``10-244-1-2``)."""
        return self.endpoint.hostname or self.address.replace(".", "-").replace(":", "-")

    @property
    def address(self) -> str:
        return self.endpoint.addresses[0]


class Directory:
    """What is known of the cluster.  ``version`` grows with each change, so that answers can be cached."""

    def __init__(self, services: Iterable[Service] = (), slices: Iterable[EndpointSlice] = ()) -> None:
        self.version = 0
        self._services: dict[ServiceKey, Service] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = defaultdict(dict)
        self._namespaces: Counter[str] = Counter()
        self._by_address: dict[str, Counter[ServiceKey]] = defaultdict(Counter)
        for service in services:
            self.service_changed(None, service)
        for row in slices:
            self.slice_changed(None, row)

    def service(self, namespace: str, name: str) -> Service | None:
        return self._services.get(ServiceKey(namespace, name))

    def has_namespace(self, namespace: str) -> bool:
        """Whether a Service lives there; what else it holds has no names."""
        return self._namespaces[namespace] > 0

    def ready(self, service: Service) -> Iterator[Serving]:
        """The ready endpoints of a Service (all of them with publishNotReadyAddresses: the slice says so)."""
        slices = self._slices.get(ServiceKey(service.namespace, service.name), {})
        for name in sorted(slices):
            for endpoint in slices[name].endpoints:
                if endpoint.addresses and endpoint.conditions.ready is not False:
                    yield Serving(endpoint, slices[name].ports)

    def at(self, address: str) -> list[Service]:
        """The Services with that virtual address, or with an endpoint there."""
        keys = sorted(self._by_address.get(address, ()))
        return [self._services[key] for key in keys if key in self._services]

    def service_changed(self, old: Service | None, new: Service | None) -> None:
        self.version += 1
        if old is not None:
            key = ServiceKey(old.namespace, old.name)
            del self._services[key]
            self._namespaces -= Counter([old.namespace])
            self._forget(key, _virtual_addresses(old))
        if new is not None:
            key = ServiceKey(new.namespace, new.name)
            self._services[key] = new
            self._namespaces[new.namespace] += 1
            self._remember(key, _virtual_addresses(new))

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        self.version += 1
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


def _owner(row: EndpointSlice) -> ServiceKey:
    return ServiceKey(row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, ""))


def _virtual_addresses(service: Service) -> list[str]:
    addresses = service.spec.clusterIPs or (service.spec.clusterIP,)
    return [address for address in addresses if address not in ("", "None")]


def _endpoint_addresses(row: EndpointSlice) -> list[str]:
    return [address for endpoint in row.endpoints for address in endpoint.addresses[:1]]
