"""Who serves which host and path, as values: what all Ingresses of a class amount to.

Where two claim the same host and path the older Ingress has it, as in ingress-nginx.
"""

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knet.api.families import host_port
from knet.api.ingress import HTTPIngressPath, Ingress, IngressBackend, IngressClass
from knet.api.names import SERVICE_NAME_LABEL
from knet.api.objects import EndpointSlice, Secret, Service

#: before there were IngressClasses; still honoured
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_OPTIONS = "nginx.ingress.kubernetes.io/"
REWRITE, SSL_REDIRECT, FORCE_SSL_REDIRECT, USE_REGEX = (
    _OPTIONS + name for name in ("rewrite-target", "ssl-redirect", "force-ssl-redirect", "use-regex")
)

Key = tuple[str, str]


@dataclass(frozen=True)
class Upstream:
    """What is behind one port of a Service: addresses with ports, or for an ExternalName ``host``; else nothing."""

    name: str
    servers: tuple[str, ...] = ()
    host: str = ""


@dataclass(frozen=True)
class Location:
    """``kind``: exact, prefix (whole elements of a path) or regex.  ``ingress`` is whose rule it is: NAMESPACE/NAME."""

    path: str
    kind: str
    upstream: Upstream
    ingress: str
    rewrite: str = ""


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its key, in one PEM text."""

    name: str
    pem: bytes = field(repr=False)


@dataclass(frozen=True)
class Server:
    """One virtual host; ``host`` "" is that of all hosts which have none, "*.example.com" matches one label more."""

    host: str
    locations: tuple[Location, ...]
    certificate: Certificate | None = None
    redirect: bool = False
    """plain HTTP is sent to HTTPS"""


@dataclass(frozen=True)
class Model:
    """All servers, that of host "" first; and what could not be done as it was asked: (NAMESPACE/NAME, why)."""

    servers: tuple[Server, ...]
    faults: tuple[tuple[str, str], ...] = ()


def is_ours(ingress: Ingress, classes: Iterable[IngressClass], controller: str, legacy_class: str) -> bool:
    """Whether an Ingress is of a class of this controller, or has its name in the annotation of old."""
    if ingress.spec.ingressClassName is None:
        return ingress.metadata.annotations.get(CLASS_ANNOTATION) == legacy_class
    names = {row.name for row in classes if row.spec.controller == controller}
    return ingress.spec.ingressClassName in names


def build(
    ingresses: Iterable[Ingress],
    services: Mapping[Key, Service],
    slices: Iterable[EndpointSlice],
    secrets: Mapping[Key, Secret],
) -> Model:
    """The model of the Ingresses given, which are ours."""
    return _Builder(services, slices, secrets).model(ingresses)


class _Builder:
    def __init__(
        self, services: Mapping[Key, Service], slices: Iterable[EndpointSlice], secrets: Mapping[Key, Secret]
    ) -> None:
        self._services = services
        self._secrets = secrets
        self._slices: dict[Key, list[EndpointSlice]] = defaultdict(list)
        for row in slices:
            self._slices[row.namespace, row.metadata.labels.get(SERVICE_NAME_LABEL, "")].append(row)
        self._locations: dict[str, dict[tuple[str, str], Location]] = {"": {}}
        self._certificates: dict[str, Certificate] = {}
        self._redirect: dict[str, bool] = {}
        self._faults: list[tuple[str, str]] = []

    def model(self, ingresses: Iterable[Ingress]) -> Model:
        age = sorted(ingresses, key=lambda row: (row.metadata.creationTimestamp or "", row.namespace, row.name))
        for ingress in age:
            self._rules(ingress)
            self._tls(ingress)
        for ingress in age:  # a default gets what no rule of anybody wants
            self._default(ingress)
        servers = [
            Server(
                host,
                tuple(rows.values()),
                self._certificates.get(host),
                self._redirect.get(host, host in self._certificates),
            )
            for host, rows in sorted(self._locations.items())
        ]
        return Model(tuple(servers), tuple(self._faults))

    def _rules(self, ingress: Ingress) -> None:
        annotations = ingress.metadata.annotations
        for rule in ingress.spec.rules:
            rows = self._locations.setdefault(rule.host, {})
            for path in rule.http.paths if rule.http else ():
                kind = _kind(path, annotations)
                upstream = self._upstream(ingress, path.backend)
                if upstream is not None:
                    text = (path.path or "/") if kind != "prefix" else "/" + path.path.strip("/")
                    location = Location(text, kind, upstream, _name(ingress), annotations.get(REWRITE, ""))
                    rows.setdefault((text, kind), location)
            for name in (SSL_REDIRECT, FORCE_SSL_REDIRECT):
                if annotations.get(name) == "true" and name == FORCE_SSL_REDIRECT:
                    self._redirect.setdefault(rule.host, True)
                elif annotations.get(name) == "false" and name == SSL_REDIRECT:
                    self._redirect.setdefault(rule.host, False)

    def _default(self, ingress: Ingress) -> None:
        if ingress.spec.defaultBackend is None:
            return
        upstream = self._upstream(ingress, ingress.spec.defaultBackend)
        for host in {rule.host for rule in ingress.spec.rules} or {""}:
            if upstream is not None:
                location = Location("/", "prefix", upstream, _name(ingress))
                self._locations[host].setdefault(("/", "prefix"), location)

    def _tls(self, ingress: Ingress) -> None:
        for row in ingress.spec.tls:
            found = self._certificate(ingress, row.secretName) if row.secretName else None
            for host in row.hosts or {rule.host for rule in ingress.spec.rules}:
                self._locations.setdefault(host, {})
                if found is not None:
                    self._certificates.setdefault(host, found)

    def _certificate(self, ingress: Ingress, name: str) -> Certificate | None:
        secret = self._secrets.get((ingress.namespace, name))
        if secret is None:
            self._faults.append((_name(ingress), f'Error getting SSL certificate "{ingress.namespace}/{name}"'))
            return None
        try:
            chain, key = (base64.b64decode(secret.data[part]) for part in ("tls.crt", "tls.key"))
        except (KeyError, ValueError):
            why = f'unexpected error creating SSL certificate "{ingress.namespace}/{name}": no tls.crt or no tls.key'
            self._faults.append((_name(ingress), why))
            return None
        return Certificate(f"{ingress.namespace}-{name}", chain.rstrip() + b"\n" + key)

    def _upstream(self, ingress: Ingress, backend: IngressBackend) -> Upstream | None:
        if backend.service is None:
            self._faults.append((_name(ingress), "resource backends are not supported"))
            return None
        asked = backend.service.port
        name = f"{ingress.namespace}-{backend.service.name}-{asked.name or asked.number}"
        service = self._services.get((ingress.namespace, backend.service.name))
        if service is None:
            why = f'Error obtaining Endpoints for Service "{ingress.namespace}/{backend.service.name}": no such Service'
            self._faults.append((_name(ingress), why))
            return Upstream(name)
        if service.spec.type == "ExternalName":
            return Upstream(name, host=f"{service.spec.externalName}:{asked.number or 80}")
        port = next((row for row in service.spec.ports if row.name == asked.name or row.port == asked.number), None)
        if port is None:
            why = f'Service "{ingress.namespace}/{backend.service.name}" has no port {asked.name or asked.number}'
            self._faults.append((_name(ingress), why))
            return Upstream(name)
        return Upstream(name, self._servers(service, port.name))

    def _servers(self, service: Service, port_name: str) -> tuple[str, ...]:
        return tuple(
            sorted(
                {
                    host_port(address, port.port)
                    for row in self._slices[service.namespace, service.name]
                    for port in row.ports
                    if port.name == port_name and port.port
                    for endpoint in row.endpoints
                    if endpoint.conditions.ready is not False
                    for address in endpoint.addresses[:1]
                }
            )
        )


def _kind(path: HTTPIngressPath, annotations: Mapping[str, str]) -> str:
    """A rewrite with groups, or use-regex, makes patterns of paths that are not Exact."""
    if path.pathType == "Exact":
        return "exact"
    if path.pathType == "ImplementationSpecific" and (
        annotations.get(USE_REGEX) == "true" or "$" in annotations.get(REWRITE, "")
    ):
        return "regex"
    return "prefix"


def _name(ingress: Ingress) -> str:
    return f"{ingress.namespace}/{ingress.name}"
