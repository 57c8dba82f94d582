"""pods/proxy, services/proxy and nodes/proxy: HTTP to whatever listens there, by way of the API server.

A name may say scheme and port, as in ``https:web:443``; of a Service the port may be a name.  What is served there is
told in X-Forwarded-Uri what path the client asked for, and may redirect within itself.  Certificates of pods and
Services are not checked, as upstream.  https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from knet.api.resources import ENDPOINTS, NODES, PODS, SERVICES, Resource
from knet.apiserver.call import Call, Handler
from knet.apiserver.formats import dns_subdomain
from knet.apiserver.forwarding import forward
from knet.apiserver.http import Answer, Response
from knet.apiserver.reach import Endpoint, Reach
from knet.apiserver.reads import find
from knet.apiserver.status import bad_request, not_found, unavailable
from knet.apiserver.subresources.streams import admitted
from knet.store import Object

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_PORTS = {"": 80, "http": 80, "https": 443}


class Named(NamedTuple):
    """What a name says: ``https:web:443``.  ``scheme`` and ``port`` may be ""."""

    scheme: str
    name: str
    port: str


def parse(resource: Resource, text: str) -> Named:
    """``scheme:name:port``, ``name:port`` or ``name``; StatusError 400."""
    parts = text.split(":")
    parts = ["", *parts] if len(parts) < 3 else parts
    scheme, name, port = [*parts, ""][:3]
    if len(parts) > 3 or scheme not in _PORTS or dns_subdomain(name):
        raise bad_request(f'invalid {resource.kind.lower()} request "{text}"')
    return Named(scheme, name, port)


class Proxies:
    """`handlers` of the three kinds."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._tls = ssl.create_default_context()
        self._tls.check_hostname = False
        self._tls.verify_mode = ssl.CERT_NONE

    def handlers(self) -> Mapping[tuple[Resource, str], Mapping[str, Handler]]:
        """As `knet.apiserver.subresources.handlers` wants them."""
        ways = {PODS: self._pod, SERVICES: self._service, NODES: self._node}
        return {(resource, "proxy"): dict.fromkeys(_METHODS, self._handler(way)) for resource, way in ways.items()}

    def _handler(self, locate: Callable[[Call, Named], Endpoint]) -> Handler:
        async def handle(call: Call) -> Answer:
            resource = call.target.kind.resource
            path = {"path": "/" + call.target.rest} if call.target.rest else {}
            await admitted(call, f"{resource.kind}ProxyOptions", path)
            endpoint = locate(call, parse(resource, call.target.name))
            prefix, rest = _split(call)
            query = f"?{call.request.raw_query}" if call.request.raw_query else ""
            if not rest and call.request.method in ("GET", "HEAD"):
                return Response(status=301, content_type="", headers=[("Location", f"{prefix}/{query}")])
            return await forward(
                call.request,
                self._reach,
                endpoint,
                (rest or "/") + query,
                lambda code, text: None,
                lambda why: unavailable(f"error trying to reach service: {why}"),
                [("X-Forwarded-Uri", prefix + rest)],
                lambda location: _within(location, prefix, (endpoint.authority, call.request.headers.get("host"))),
            )

        return handle

    def _endpoint(self, named: Named, host: str, port: int) -> Endpoint:
        return Endpoint(host, port, self._tls if named.scheme == "https" else None)

    def _pod(self, call: Call, named: Named) -> Endpoint:
        pod = find(call.context, replace(call.target, name=named.name)).decode()
        address = pod.get("status", {}).get("podIP", "")
        if not address or not _proxyable(address):
            raise bad_request("address not allowed")
        port = named.port or str(_first_port(pod) or _PORTS[named.scheme])
        if not port.isdecimal():
            raise unavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
        endpoint = self._endpoint(named, address, int(port))
        return self._reach.pod(call.target.namespace, named.name, pod["spec"]["nodeName"], endpoint)

    def _service(self, call: Call, named: Named) -> Endpoint:
        store, namespace = call.context.store, call.target.namespace
        record = store.get(call.context.kinds[SERVICES].key(namespace, named.name))
        number = named.port.isdecimal()
        if record is None:  # upstream looks for the Endpoints, and for the Service only if it has to translate a port
            raise not_found(SERVICES if number else ENDPOINTS, named.name)
        if record.decode()["spec"].get("type") == "ExternalName":
            raise unavailable(f'no endpoints available for service "{named.name}"')
        tls = self._tls if named.scheme == "https" else None
        try:
            return self._reach.service(namespace, named.name, int(named.port) if number else named.port, tls)
        except ConnectionError as error:
            raise unavailable(str(error)) from None

    def _node(self, call: Call, named: Named) -> Endpoint:
        """The kubelet, or another port of the machine."""
        find(call.context, replace(call.target, name=named.name))
        kubelet = self._reach.kubelet(named.name)
        if named.port in ("", str(kubelet.port)):
            return kubelet
        return self._endpoint(named, kubelet.host, int(named.port) if named.port.isdecimal() else 0)


def _proxyable(address: str) -> bool:
    found = ip_address(address)
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


def _first_port(pod: Object) -> int:
    ports = [row for container in pod["spec"]["containers"] for row in container.get("ports", ())]
    return int(ports[0]["containerPort"]) if ports else 0


def _split(call: Call) -> tuple[str, str]:
    """The path of a request up to and with ``/proxy``, and what follows, as they came."""
    parts = call.request.path.split("/")
    depth = 8 if call.target.namespace else 6
    return "/".join(parts[:depth]), "".join(f"/{part}" for part in parts[depth:])


def _within(location: str, prefix: str, hosts: tuple[str, str]) -> str:
    """Where a redirect leads, seen from outside: one within what is proxied stays there."""
    url = urlsplit(location)
    if (url.netloc and url.netloc not in hosts) or not url.path.startswith("/"):
        return location
    path = url.path if url.path.startswith(prefix) else prefix + url.path
    return url._replace(scheme="", netloc="", path=path).geturl()
