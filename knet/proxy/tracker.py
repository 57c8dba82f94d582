"""The snapshot kept up to date: what a change of one Service costs does not depend on how many there are.

Fed by the informers' subscribers with (old, new); pure.  Upstream: pkg/proxy/servicechangetracker.go,
endpointschangetracker.go.
"""

from collections import defaultdict

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointSlice, Service
from knet.proxy.snapshot import Place, ServicePort, ServicePortName, Snapshot, service_ports

#: namespace and name of a Service
_Key = tuple[str, str]


class Tracker:
    """Holds Services and their slices of one address family, as one machine sees them."""

    def __init__(self, here: Place, node_ip: str = "", cluster_cidr: str = "", family: int = 4) -> None:
        self._here = here
        self._family = family
        self._services: dict[_Key, Service] = {}
        self._slices: defaultdict[_Key, dict[str, EndpointSlice]] = defaultdict(dict)
        self._names: dict[_Key, tuple[ServicePortName, ...]] = {}
        self._dirty: set[_Key] = set()
        self._snapshot = Snapshot({}, node_ip, cluster_cidr, family)

    def service(self, old: Service | None, new: Service | None) -> None:
        """A Service has come, changed or gone."""
        for row in (old, new):
            if row is not None:
                key = row.namespace, row.name
                if row is new:
                    self._services[key] = row
                else:
                    self._services.pop(key, None)
                self._dirty.add(key)

    def slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        """An EndpointSlice has come, changed or gone."""
        for row in (old, new):
            if row is not None and row.addressType == f"IPv{self._family}":
                service = row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")
                if row is new:
                    self._slices[service][row.name] = row
                else:
                    self._slices[service].pop(row.name, None)
                self._dirty.add(service)

    def move(self, here: Place) -> None:
        """The machine stands somewhere else now."""
        if here != self._here:
            self._here = here
            self._dirty |= self._services.keys()

    def snapshot(self) -> Snapshot:
        """The desired state now; what has not changed since the last one is the same object in both."""
        if self._dirty:
            self._snapshot = self._snapshot.replaced(self._changed_ports())
            self._dirty.clear()
        return self._snapshot

    def _changed_ports(self) -> dict[ServicePortName, ServicePort | None]:
        """The ports of the Services that changed; None for those that are gone."""
        changed: dict[ServicePortName, ServicePort | None] = {}
        for key in self._dirty:
            service, slices = self._services.get(key), self._slices.get(key, {})
            ports = service_ports(service, slices.values(), self._here, self._family) if service else ()
            changed.update(dict.fromkeys(self._names.pop(key, ())))
            changed.update((port.name, port) for port in ports)
            if ports:
                self._names[key] = tuple(port.name for port in ports)
            if not slices:
                self._slices.pop(key, None)
        return changed
