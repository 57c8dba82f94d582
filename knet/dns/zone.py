"""Which records follow from the cluster's Services: the Kubernetes DNS specification, version 1.1.0, as CoreDNS has it.

A name is a tuple of lower-case labels, ``("web", "default", "svc", "cluster", "local")``: a dot inside a label, which
DNS allows, can then never be taken for a boundary.  Pure: reads a `Directory`, returns an `Answer`.

===========================================  ==================================================================
``SVC.NS.svc.ZONE``                          A, AAAA: the virtual addresses; headless: all ready endpoints;
                                             CNAME for ExternalName; SRV: all its ports
``HOST.SVC.NS.svc.ZONE``                     A, AAAA: the ready endpoints of that hostname, else of that address with
                                             dashes; SRV: their ports
``_PORT._PROTO.SVC.NS.svc.ZONE``             SRV of a named port; headless: one per endpoint
``10-244-1-2.NS.pod.ZONE``                   A, AAAA: the address itself, whether there is such a pod or not
``4.3.2.1.in-addr.arpa``, ``….ip6.arpa``     PTR: the Service, or the endpoint of each Service that has it
``ZONE``                                     SOA; NS: the Service of the cluster DNS
``dns-version.ZONE``                         TXT
===========================================  ==================================================================

Names that stand between these (``NS.svc.ZONE``, ``_tcp.SVC.NS.svc.ZONE``) exist, without records (RFC 8020).
"""

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from knet.api.names import SYSTEM_NAMESPACE
from knet.api.objects import Service
from knet.dns.directory import Directory, virtual_addresses

Name = tuple[str, ...]

SCHEMA_VERSION = "1.1.0"
#: what kubelets' --cluster-dns leads to
DNS_SERVICE = "kube-dns"
#: longest CNAME chain that is followed inside of the zone
_CHAIN = 10
_LONGEST_NAME, _LONGEST_LABEL = 254, 63


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

    With aliases among the records, ``exists`` is about where they lead to (RFC 6604).  ``unresolved`` is the name at
    which a CNAME leaves the zone; who can ask others appends what they say.
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

    def __init__(self, directory: Directory, domain: str, pods: bool = True) -> None:
        self._directory = directory
        self._pods = pods
        self.name = name_of(domain)

    def covers(self, name: Name) -> bool:
        """Whether the cluster has to be known for an answer."""
        return name[-len(self.name) :] == self.name or name[-1:] == ("arpa",)

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
            answer = further._replace(records=answer.records + further.records)
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
                return _addresses(name, kind, self._own_addresses())
            case (*parts, namespace, "pod"):
                known = self._pods and self._directory.has_namespace(namespace)
                return _pod(name, parts, kind) if known else NXDOMAIN
            case (namespace, "svc"):
                return NODATA if self._directory.has_namespace(namespace) else NXDOMAIN
            case (*parts, service_name, namespace, "svc"):
                service = self._directory.service(namespace, service_name)
                return NXDOMAIN if service is None else self._service(service, tuple(parts), name, kind)
        return NXDOMAIN

    def _service(self, service: Service, parts: Name, name: Name, kind: str) -> Answer:
        """``parts`` is what stands before the Service's own name."""
        if service.spec.type == "ExternalName":
            return NXDOMAIN if parts else _alias(name, service.spec.externalName, kind)
        match parts:
            case () if not service.headless:
                return self._addressed(service, name, kind, virtual_addresses(service))
            case ():
                return self._addressed(service, name, kind, [row.address for row in self._directory.ready(service)])
            case (protocol,) if protocol.startswith("_"):
                return NODATA if self._ports(service, name, protocol=protocol) else NXDOMAIN
            case (host,):
                found = [row.address for row in self._directory.ready(service) if row.hostname.lower() == host]
                return self._addressed(service, name, kind, found, host)
            case (port, protocol):
                ports = self._ports(service, name, "", port, protocol)
                return (_answer(ports) if kind == "SRV" else NODATA) if ports else NXDOMAIN
        return NXDOMAIN

    def _addressed(self, service: Service, name: Name, kind: str, addresses: list[str], host: str = "") -> Answer:
        """A name that stands for addresses; without any it does not exist."""
        if not addresses:
            return NXDOMAIN
        return _answer(self._ports(service, name, host)) if kind == "SRV" else _addresses(name, kind, addresses)

    def _ports(
        self, service: Service, name: Name, host: str = "", port: str = "", protocol: str = ""
    ) -> list[tuple[Record, Record]]:
        """SRV records, each with the address of its target: of one host, of one named port, or of all.

        ``port`` and ``protocol`` are labels: ``_http``, ``_tcp``.  All targets share the weight, as in CoreDNS.
        """
        own_name = self._name_of(service)
        targets: list[tuple[Name, str, int]] = []
        if service.headless or host:
            for row in self._directory.ready(service):
                for found in row.ports if host in ("", row.hostname.lower()) else ():
                    if found.port is not None and _matches(found.name, found.protocol, port, protocol):
                        targets.append(((row.hostname, *own_name), row.address, found.port))
        else:
            for spec in service.spec.ports:
                if _matches(spec.name, spec.protocol, port, protocol):
                    targets += [(own_name, address, spec.port) for address in virtual_addresses(service)]
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
                target = (DNS_SERVICE, SYSTEM_NAMESPACE, "svc", *self.name)
                addresses = tuple(Record(target, _family(address), address) for address in self._own_addresses())
                return Answer(True, (Record(self.name, "NS", target),), addresses)
        return NODATA

    def _own_addresses(self) -> list[str]:
        """Of the Service that leads here; also of the name in the zone's SOA, ``ns.dns.ZONE``."""
        service = self._directory.service(SYSTEM_NAMESPACE, DNS_SERVICE)
        return [] if service is None else virtual_addresses(service)

    def _reverse(self, name: Name, kind: str) -> Answer | None:
        """PTR records; None where no Service and no endpoint has the address (it may be known elsewhere)."""
        address = _reversed_address(name)
        names = sorted(set(self._names_at(address))) if address else []
        if not names:
            return None
        return Answer(True, tuple(Record(name, "PTR", found) for found in names)) if kind == "PTR" else NODATA

    def _names_at(self, address: str) -> Iterable[Name]:
        """The Service with that virtual address; else the endpoint there, once for each Service that has it."""
        services = self._directory.at(address)
        for service in services:
            if address in virtual_addresses(service):
                return [self._name_of(service)]
        return [
            (row.hostname, *self._name_of(service))
            for service in services
            for row in self._directory.ready(service)
            if row.address == address
        ]

    def _name_of(self, service: Service) -> Name:
        return (service.name, service.namespace, "svc", *self.name)


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
    found = sorted({address for address in addresses if _family(address) == kind})
    return Answer(True, tuple(Record(name, kind, address) for address in found))


def _alias(name: Name, external_name: str, kind: str) -> Answer:
    """An address is no name to be an alias of, and a name may be too long for DNS."""
    target = name_of(external_name)
    if all(label.isdigit() for label in target) or ":" in external_name:
        return NXDOMAIN
    if sum(map(len, target)) + len(target) > _LONGEST_NAME or max(map(len, target)) > _LONGEST_LABEL:
        return NXDOMAIN
    return Answer(True, (Record(name, "CNAME", target),), unresolved=None if kind == "CNAME" else target)


def _answer(ports: list[tuple[Record, Record]]) -> Answer:
    records = tuple(dict.fromkeys(record for record, _ in ports))
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
