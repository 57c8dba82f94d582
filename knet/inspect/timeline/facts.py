"""Whose an address is or was, and how a pod is to end: what the report on dropped requests reads of objects.  Pure."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from knet.api.names import SERVICE_NAME_LABEL
from knet.inspect.timeline.attempts import Attempt
from knet.inspect.timeline.event import ref

JSON = dict[str, Any]


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """``name`` as events name it."""

    name: str
    node: str = ""
    addresses: tuple[str, ...] = ()
    grace: int = 30
    """terminationGracePeriodSeconds"""


class Facts:
    """Learns objects in any of their states.  What was once so stays known: packets outlive pods."""

    def __init__(self) -> None:
        self.pods: dict[str, PodFacts] = {}
        self._owners: dict[str, str] = {}
        self._udp: defaultdict[str, set[int]] = defaultdict(set)
        self._ranges: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}

    def learn(self, value: JSON) -> None:
        """One more object, or another state of one."""
        metadata, kind = value["metadata"], value.get("kind")
        if kind == "Pod":
            self._pod(ref("pod", metadata["namespace"], metadata["name"]), value)
        elif kind == "Service":
            name = ref("service", metadata["namespace"], metadata["name"])
            self._owners |= dict.fromkeys(_service_addresses(value), name)
            self._udp[name] |= _udp_ports(value.get("spec") or {})
        elif kind == "EndpointSlice":
            service = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL, "")
            self._udp[ref("service", metadata["namespace"], service)] |= _udp_ports(value)
        elif kind == "Node":
            spec, status = value.get("spec", {}), value.get("status") or {}
            addresses = [row["address"] for row in status.get("addresses") or () if row["type"] == "InternalIP"]
            self._owners |= dict.fromkeys(addresses, ref("node", "", metadata["name"]))
            for cidr in spec.get("podCIDRs") or ():
                self._ranges[cidr] = ipaddress.ip_network(cidr)
                self._owners[cidr] = ref("node", "", metadata["name"])

    def _pod(self, name: str, value: JSON) -> None:
        spec, status = value.get("spec", {}), value.get("status") or {}
        found = tuple(row["ip"] for row in status.get("podIPs") or ())
        if spec.get("hostNetwork"):
            return
        known = self.pods.get(name)
        addresses = found or (known.addresses if known else ())
        self.pods[name] = PodFacts(
            name=name,
            node=spec.get("nodeName", ""),
            addresses=addresses,
            grace=spec.get("terminationGracePeriodSeconds", 30),
        )
        self._owners |= dict.fromkeys(found, name)

    def owner(self, address: bytes) -> str:
        """``pod/default/web-0``, ``service/default/web``, ``node/n1`` (also of its gateway and tunnel), or ""."""
        found = ipaddress.ip_address(address)
        if owner := self._owners.get(str(found)):
            return owner
        return next((self._owners[cidr] for cidr, network in self._ranges.items() if found in network), "")

    def probes(self, row: Attempt) -> bool:
        """Whether it is a kubelet's: from the machine of a pod to the pod itself."""
        pod = self.pods.get(self.owner(row.sent_to.address))
        return pod is not None and row.asked == row.sent_to and self.owner(row.source.address) == f"node/{pod.node}"

    def udp_ports(self, names: Iterable[str]) -> frozenset[int]:
        """Those of the Services among these, and of their endpoints."""
        return frozenset(port for name in names for port in self._udp.get(name, ()))

    def of(self, names: Iterable[str]) -> dict[str, PodFacts]:
        """The pods among these."""
        return {name: self.pods[name] for name in sorted(names) if name in self.pods}


def _udp_ports(value: JSON) -> set[int]:
    rows = [row for row in value.get("ports") or () if row.get("protocol") == "UDP"]
    return {port for row in rows for port in (row.get("port"), row.get("nodePort")) if port}


def _service_addresses(value: JSON) -> Iterator[str]:
    spec, status = value.get("spec", {}), value.get("status") or {}
    balancer = (row.get("ip", "") for row in (status.get("loadBalancer") or {}).get("ingress") or ())
    for address in (*(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ()), *balancer):
        if address not in ("", "None"):
            yield address
