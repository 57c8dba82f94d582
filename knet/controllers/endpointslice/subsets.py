"""The pods behind a Service as the Endpoints object says it: addresses times ports, in subsets.

The object is deprecated in favour of slices, but `kubectl get endpoints` and older clients read it.  A subset is the
product of its addresses and ports; pods with other ports (named ones may differ) make further subsets.
upstream: endpoints_controller.go and endpoints.RepackSubsets.
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from knet.api.families import of_family
from knet.api.objects import JSON, EndpointPort, Pod, Service
from knet.controllers.endpointslice.members import has_address, hostname, pod_addresses, pod_ports
from knet.controllers.endpointslice.slices import port_json

#: more addresses than this are cut off, and an annotation says so
MAX_ADDRESSES = 1000


class _Address(NamedTuple):
    ip: str
    hostname: str
    node: str
    namespace: str
    name: str
    uid: str

    def json(self) -> JSON:
        row: JSON = {"ip": self.ip}
        if self.hostname:
            row["hostname"] = self.hostname
        if self.node:
            row["nodeName"] = self.node
        row["targetRef"] = {"kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": self.uid}
        return row


def subsets(service: Service, pods: Iterable[Pod]) -> list[JSON]:
    """The subsets for the pods that the Service's selector matches.

    A pod that terminates is in none of them (unless unready ones are published): Endpoints cannot say
    "terminating".
    """
    at_port: dict[EndpointPort | None, set[tuple[_Address, bool]]] = defaultdict(set)
    publish_all = service.spec.publishNotReadyAddresses
    for pod in pods:
        if not has_address(pod) or (pod.deleting and not publish_all):
            continue
        ip = of_family(pod_addresses(pod), (service.spec.ipFamilies or ("IPv4",))[0])
        if not ip:  # it has one family, and this is not the Service's
            continue
        address = _Address(ip, hostname(service, pod), pod.spec.nodeName, pod.namespace, pod.name, pod.uid)
        # a headless Service may have no ports at all; its addresses still count, for DNS
        without_ports: list[EndpointPort | None] = [None] if service.headless and not service.spec.ports else []
        for port in [*pod_ports(service, pod), *without_ports]:
            at_port[port].add((address, pod.ready or publish_all))
    together: dict[frozenset[tuple[_Address, bool]], list[EndpointPort]] = defaultdict(list)
    for port, addresses in at_port.items():
        together[frozenset(addresses)] += [port] if port is not None else []
    return [_subset(addresses, ports) for addresses, ports in sorted(together.items(), key=lambda row: _first(row[0]))]


def _first(addresses: frozenset[tuple[_Address, bool]]) -> tuple[int, str]:
    return min(_order(address) for address, _ in addresses)


def _order(address: _Address) -> tuple[int, str]:
    return int(ip_address(address.ip)), address.uid


def _subset(addresses: frozenset[tuple[_Address, bool]], ports: list[EndpointPort]) -> JSON:
    ready = sorted((address for address, up in addresses if up), key=_order)[:MAX_ADDRESSES]
    unready = sorted((address for address, up in addresses if not up), key=_order)
    row: JSON = {}
    if ready:
        row["addresses"] = [address.json() for address in ready]
    if unready:
        row["notReadyAddresses"] = [address.json() for address in unready[: MAX_ADDRESSES - len(ready)]]
    if ports:
        row["ports"] = [_port_json(port) for port in sorted(ports, key=lambda port: (port.name, port.port or 0))]
    return row


def _port_json(port: EndpointPort) -> JSON:
    return {name: value for name, value in port_json(port).items() if name != "name" or value}
