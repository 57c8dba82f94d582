"""Which records follow from the cluster's Services: the Kubernetes DNS specification, version 1.1.0, as CoreDNS has it.

A name is a tuple of lower-case labels, ``("web", "default", "svc", "cluster", "local")``: a dot inside a label, which
DNS allows, can then never be taken for a boundary.  Pure: reads a `Directory`, returns an `Answer`.

===========================================  ==================================================================
``SVC.NS.svc.ZONE``                          A: the virtual address; headless: all ready endpoints;
                                             CNAME for ExternalName; SRV: all its named ports
``HOST.SVC.NS.svc.ZONE``                     A: one endpoint of a headless Service (hostname, or address with dashes)
``_PORT._PROTO.SVC.NS.svc.ZONE``             SRV of a named port; headless: one per endpoint and port
``10-244-1-2.NS.pod.ZONE``                   A: the address itself
``4.3.2.1.in-addr.arpa``                     PTR: the Service, or the endpoint of a headless one
``dns-version.ZONE``                         TXT
===========================================  ==================================================================
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from knet.api.names import SYSTEM_NAMESPACE
from knet.api.objects import Service
from knet.dns.directory import Directory

Name = tuple[str, ...]

SCHEMA_VERSION = "1.1.0"
#: what kubelets' --cluster-dns leads to
DNS_SERVICE = "kube-dns"
#: longest CNAME chain that is followed inside of the zone
_CHAIN = 8


class Srv(NamedTuple):
    priority: int
    weight: int
    port: int
    target: Name


class Record(NamedTuple):
    """``data`` is an address (A, AAAA), a name (CNAME, PTR, NS), a text (TXT), a Srv, or "" (SOA)."""

    name: Name
    type: str
    data: str | Name | Srv


class Answer(NamedTuple):
    """What is known about a question.  Not ``exists``: NXDOMAIN.  It exists without ``records``: NODATA.

    ``unresolved`` is the name at which a CNAME leaves the zone; who can ask others appends what they say.
    """

    exists: bool
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    unresolved: Name | None = None


NXDOMAIN = Answer(exists=False)
NODATA = Answer(exists=True)


def name_of(text: str) -> Name:
    """``web.default.svc.cluster.local.`` as labels."""
    return tuple(text.lower().rstrip(".").split("."))


class Zone:
    """The names below ``domain``, and the reverse names of what is in it."""

    def __init__(self, directory: Directory, domain: str) -> None:
        self._directory = directory
        self.name = name_of(domain)

    def lookup(self, name: Name, kind: str) -> Answer | None:
        """The answer to a question of type ``kind`` ("A", "SRV", …); None where the name is not ours to answer.

        Aliases are followed as far as they lead inside of the zone.
        """
        answer = self._find(name, kind)
        seen = {name}
        while answer is not None and answer.unresolved is not None:
            target = answer.unresolved
            further = self._find(target, kind)
            if further is None:
                return answer
            if target in seen or len(seen) == _CHAIN:
                return answer._replace(unresolved=None)
            seen.add(target)
            records = answer.records + further.records
            answer = Answer(True, records, further.additional, further.unresolved)
        return answer

    def _find(self, name: Name, kind: str) -> Answer | None:
        if name[-len(self.name) :] == self.name:
            return self._below(name, name[: -len(self.name)], kind)
        if name[-1:] == ("arpa",):
            return self._reverse(name, kind)
        return None

    def _below(self, name: Name, rest: Name, kind: str) -> Answer:
        match rest:
            case ():
                return self._apex(kind)
            case ("svc",) | ("pod",) | ("dns",):
                return NODATA
            case ("dns-version",):
                return Answer(True, (Record(name, "TXT", SCHEMA_VERSION),)) if kind == "TXT" else NODATA
            case ("ns", "dns"):
                return self._name_server(name, kind)
            case (*parts, namespace, "pod"):
                return _pod(name, parts, kind)
            case (namespace, "svc"):
                return NODATA if self._directory.has_namespace(namespace) else NXDOMAIN
            case (*parts, service_name, namespace, "svc"):
                service = self._directory.service(namespace, service_name)
                return NXDOMAIN if service is None else self._service(service, tuple(parts), name, kind)
        return NXDOMAIN

    def _service(self, service: Service, parts: Name, name: Name, kind: str) -> Answer:
        """``parts`` is what stands before the Service's own name."""
        if service.spec.type == "ExternalName":
            return NXDOMAIN if parts else _alias(name, name_of(service.spec.externalName), kind)
        if not parts:
            if kind == "SRV":
                return _answer(self._ports(service, name, "", ""))
            return _addresses(name, kind, self._service_addresses(service))
        if len(parts) == 1 and not parts[0].startswith("_"):
            found = {row.address for row in self._directory.ready(service) if row.hostname == parts[0]}
            return _addresses(name, kind, found) if found and service.headless else NXDOMAIN
        if len(parts) <= 2:
            ports = self._ports(service, name, parts[0] if len(parts) == 2 else "", parts[-1])
            if ports:
                return _answer(ports) if kind == "SRV" and len(parts) == 2 else NODATA
        return NXDOMAIN

    def _service_addresses(self, service: Service) -> Iterable[str]:
        if service.headless:
            return {row.address for row in self._directory.ready(service)}
        return service.spec.clusterIPs or (service.spec.clusterIP,)

    def _ports(self, service: Service, name: Name, port: str, protocol: str) -> list[tuple[Record, Record]]:
        """SRV records, each with the address of its target: of one named port, or of all where none is given.

        ``port`` and ``protocol`` are labels: ``_http``, ``_tcp``.
        """
        own_name = (service.name, service.namespace, "svc", *self.name)
        targets: list[tuple[Name, str, int]] = []
        if service.headless:
            for row in self._directory.ready(service):
                for found in row.ports:
                    if found.port is not None and _matches(found.name, found.protocol, port, protocol):
                        targets.append(((row.hostname, *own_name), row.address, found.port))
        else:
            for spec in service.spec.ports:
                if _matches(spec.name, spec.protocol, port, protocol):
                    targets.append((own_name, service.spec.clusterIP, spec.port))
        weight = max(1, 100 // len(targets)) if targets else 0
        return [
            (Record(name, "SRV", Srv(0, weight, number, target)), Record(target, _family(address), address))
            for target, address, number in targets
        ]

    def _apex(self, kind: str) -> Answer:
        match kind:
            case "SOA":
                return Answer(True, (Record(self.name, "SOA", ""),))
            case "NS":
                return Answer(True, (Record(self.name, "NS", ("ns", "dns", *self.name)),))
        return NODATA

    def _name_server(self, name: Name, kind: str) -> Answer:
        """The name in the zone's SOA: the DNS Service itself."""
        service = self._directory.service(SYSTEM_NAMESPACE, DNS_SERVICE)
        return NODATA if service is None else _addresses(name, kind, self._service_addresses(service))

    def _reverse(self, name: Name, kind: str) -> Answer | None:
        """PTR records; None where no Service and no endpoint has the address (it may be known elsewhere)."""
        address = _reversed_address(name)
        names = sorted(set(self._names_at(address))) if address else []
        if not names:
            return None
        return Answer(True, tuple(Record(name, "PTR", found) for found in names)) if kind == "PTR" else NODATA

    def _names_at(self, address: str) -> Iterator[Name]:
        for service in self._directory.at(address):
            own_name = (service.name, service.namespace, "svc", *self.name)
            if address in service.spec.clusterIPs or address == service.spec.clusterIP:
                yield own_name
            elif service.headless:
                for row in self._directory.ready(service):
                    if row.address == address:
                        yield (row.hostname, *own_name)


def _matches(port_name: str, port_protocol: str, port: str, protocol: str) -> bool:
    """Whether a port is meant by the labels ``_http`` and ``_tcp``; an empty label stands for any.

    A port without a name has no SRV record of its own, only among all of its Service's.
    """
    if port and port != f"_{port_name.lower()}":
        return False
    if protocol and protocol != f"_{port_protocol.lower()}":
        return False
    return bool(port_name) or not protocol


def _family(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _addresses(name: Name, kind: str, addresses: Iterable[str]) -> Answer:
    """The addresses of the family that was asked for; NODATA for a name that has only others."""
    return Answer(True, tuple(Record(name, kind, address) for address in sorted(addresses) if _family(address) == kind))


def _alias(name: Name, target: Name, kind: str) -> Answer:
    return Answer(True, (Record(name, "CNAME", target),), unresolved=None if kind == "CNAME" else target)


def _answer(ports: list[tuple[Record, Record]]) -> Answer:
    records = tuple(record for record, _ in ports)
    return Answer(True, records, tuple(dict.fromkeys(address for _, address in ports)))


def _pod(name: Name, parts: list[str], kind: str) -> Answer:
    """CoreDNS's ``pods insecure``, kubeadm's choice: the name holds the answer, whether there is such a pod or not."""
    if not parts:
        return NODATA
    if len(parts) != 1:
        return NXDOMAIN
    label = parts[0]
    try:
        address = ipaddress.ip_address(label.replace("-", "." if label.count("-") == 3 and "--" not in label else ":"))
    except ValueError:
        return NXDOMAIN
    return _addresses(name, kind, [str(address)])


def _reversed_address(name: Name) -> str:
    """The address that ``4.3.2.1.in-addr.arpa`` (or 32 nibbles below ip6.arpa) stands for; "" for other names."""
    digits = name[-3::-1]
    try:
        if name[-2:] == ("in-addr", "arpa") and len(digits) == 4:
            return str(ipaddress.IPv4Address(".".join(digits)))
        if name[-2:] == ("ip6", "arpa") and len(digits) == 32:
            return str(ipaddress.IPv6Address(bytes.fromhex("".join(digits))))
    except ValueError:
        pass
    return ""
