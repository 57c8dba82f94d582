"""From a Service to one of its ready endpoints, as the API server needs it for webhooks and proxied Services.

Upstream's words are those of k8s.io/apiserver/pkg/util/proxy.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from knet.api.resources import ENDPOINTSLICES, SERVICES
from knet.apiserver.context import Context
from knet.store import Object

_SERVICE_NAME = "kubernetes.io/service-name"


class NoEndpoint(ConnectionError):
    """There is none; the message says why."""


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """An address and port, and the pod that has them, where it is one: its namespace, name and node."""

    host: str
    port: int
    pod: tuple[str, str, str] | None = None


def endpoint_of(context: Context, namespace: str, name: str, port: int | str) -> ServiceEndpoint:
    """A ready endpoint of a port of a Service, by number or name, another one each time; NoEndpoint."""
    record = context.store.get(context.kinds[SERVICES].key(namespace, name))
    if record is None:
        raise NoEndpoint(f'service "{name}" not found')
    spec = record.decode()["spec"]
    if spec.get("type") == "ExternalName":
        return ServiceEndpoint(spec["externalName"], int(port))
    if isinstance(port, int):
        row = next((row for row in spec.get("ports", ()) if row["port"] == port), None)
        if row is None:
            raise NoEndpoint(f'no service port {port} found for service "{name}"')
        port = str(row.get("name") or "")
    found = list(_ready(context, namespace, name, port))
    if not found:
        raise NoEndpoint(f'no endpoints available for service "{name}"')
    return random.choice(found)


def _ready(context: Context, namespace: str, name: str, port_name: str) -> Iterator[ServiceEndpoint]:
    for record in context.store.list(context.kinds[ENDPOINTSLICES].prefix(namespace)).records:
        if record.attributes.labels.get(_SERVICE_NAME) != name:
            continue
        piece = record.decode()
        for port in piece.get("ports") or ():
            if (port.get("name") or "") == port_name and port.get("port"):
                for endpoint in piece.get("endpoints") or ():
                    if (endpoint.get("conditions") or {}).get("ready") is not False:
                        yield _endpoint(endpoint, port["port"])


def _endpoint(row: Object, port: int) -> ServiceEndpoint:
    target = row.get("targetRef") or {}
    pod = None
    if target.get("kind") == "Pod" and row.get("nodeName"):
        pod = target.get("namespace", ""), target.get("name", ""), row["nodeName"]
    return ServiceEndpoint(row["addresses"][0], port, pod)
