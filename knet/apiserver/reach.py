"""How the API server reaches what it passes requests on to: kubelets, under its own identity, and through them pods."""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from knet.api.families import host_port
from knet.api.resources import NODES
from knet.apiserver.context import Context
from knet.apiserver.endpoints import NoEndpoint, endpoint_of
from knet.apiserver.http import BodyBroken, BodyTooLarge
from knet.apiserver.http.client import Backend
from knet.apiserver.http.response import Fields
from knet.apiserver.status import StatusError
from knet.apiserver.tunnel import Road, dial
from knet.store import Object

_KUBELET_PORT = 10250
#: in upstream's order of --kubelet-preferred-address-types; names do not resolve on the control plane
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")
#: seconds to reach somebody whose link may be cut
_CONNECT_TIMEOUT = 5
#: bytes of an answer that is read as a whole: a thousand pods' figures are one megabyte
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection goes: plain TCP, or TLS under ``tls``.

    ``name`` is the host, with its port if that is not 443, that URLs and certificates mean, if not ``host``;
    ``road`` leads there, where the network does not.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    name: str = ""
    road: Road | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return host_port(self.host, self.port)

    @property
    def authority(self) -> str:
        """As it stands in a URL, and in a Host field."""
        return self.name or self.address

    @property
    def server_name(self) -> str | None:
        """What the server's certificate has to be for."""
        return (urlsplit(f"//{self.name}").hostname or self.host) if self.tls else None


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes


class Unreachable(ConnectionError):
    """No connection; the message is that of Go's dialer."""


class Reach:
    """Finds and opens connections."""

    def __init__(self, context: Context, pki: Path) -> None:
        """Kubelets get the client certificate apiserver-kubelet-client; theirs have to be of the cluster's CA."""
        self._context = context
        tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        # a kubelet is called by its address, as upstream does without --kubelet-certificate-authority
        tls.check_hostname = False
        tls.load_cert_chain(pki / "apiserver-kubelet-client.crt", pki / "apiserver-kubelet-client.key")
        self._tls = tls

    def kubelet(self, node: str) -> Endpoint:
        """The kubelet of a node; StatusError 500 as upstream where it is not known."""
        record = self._context.store.get(self._context.kinds[NODES].key("", node))
        if record is None:
            raise _cannot(f'nodes "{node}" not found')
        status: Object = record.decode().get("status", {})
        port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port") or _KUBELET_PORT
        for kind in _ADDRESS_TYPES:
            for row in status.get("addresses", ()):
                if row.get("type") == kind:
                    return Endpoint(row["address"], port, self._tls)
        raise _cannot(f"no preferred addresses found; known addresses: {status.get('addresses', [])}")

    def pod(self, namespace: str, name: str, node: str, endpoint: Endpoint) -> Endpoint:
        """The same endpoint, by the road into the pod whose it is; StatusError 500."""
        kubelet = self.kubelet(node)
        url = f"https://{kubelet.address}/portForward/{quote(namespace)}/{quote(name)}?port={endpoint.port}"
        url += f"&address={endpoint.host}"
        return replace(endpoint, road=Road(url, kubelet.tls))

    def service(
        self, namespace: str, name: str, port: int | str, tls: ssl.SSLContext | None = None, called: str = ""
    ) -> Endpoint:
        """One of a Service's ready endpoints; ConnectionError where there is none."""
        found = endpoint_of(self._context, namespace, name, port)
        endpoint = Endpoint(found.host, found.port, tls, called)
        try:
            return self.pod(*found.pod, endpoint) if found.pod else endpoint
        except StatusError as error:
            raise NoEndpoint(error.message) from None

    async def connect(self, endpoint: Endpoint, patience: float = _CONNECT_TIMEOUT) -> Backend:
        """Open a connection; Unreachable."""
        loop = asyncio.get_running_loop()
        refusal: list[str] = []

        def why() -> str:
            return f"dial tcp {endpoint.address}: connect: {refusal[0]}" if refusal else ""

        try:
            async with asyncio.timeout(patience):
                where: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
                if endpoint.road is not None:
                    near, refusal = await dial(endpoint.road)
                    where = {"sock": near}
                _, backend = await loop.create_connection(
                    lambda: Backend(why), **where, ssl=endpoint.tls, server_hostname=endpoint.server_name
                )
        except TimeoutError:
            raise Unreachable(f"dial tcp {endpoint.address}: i/o timeout") from None
        except ssl.SSLError as error:
            raise Unreachable(_go_tls(error)) from None
        except socket.gaierror:
            raise Unreachable(f"dial tcp: lookup {endpoint.host}: no such host") from None
        except OSError as error:
            if endpoint.road is not None:
                raise Unreachable(why() or str(error)) from None
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise Unreachable(f"dial tcp {endpoint.address}: connect: {reason}") from None
        return backend

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Fields = (),
        body: bytes = b"",
        patience: float = _CONNECT_TIMEOUT,
    ) -> Reply:
        """A request and its answer, both whole; ConnectionError."""
        backend = await self.connect(endpoint, patience)
        length = [("Content-Length", str(len(body)))] if body else []
        try:
            await backend.send(method, target, [("Host", endpoint.authority), *headers, *length])
            if body:
                await backend.write(body)
            await backend.head()
            return Reply(backend.status, await backend.body.read(_LARGEST))
        except (BodyBroken, BodyTooLarge) as error:
            raise ConnectionError(str(error)) from None
        finally:
            backend.abort()

    async def fetch(self, endpoint: Endpoint, target: str) -> bytes:
        """The body of a GET of a path; ConnectionError for any answer but 200."""
        reply = await self.exchange(endpoint, "GET", target)
        if reply.status != 200:
            text = reply.body.decode(errors="replace")
            raise ConnectionError(f"{endpoint.authority} answers {reply.status}: {text}")
        return reply.body


#: OpenSSL's verdicts on a certificate → Go's
_CERTIFICATES = {
    10: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
}


def _go_tls(error: ssl.SSLError) -> str:
    """Why there is no TLS."""
    if error.reason == "WRONG_VERSION_NUMBER":
        return "http: server gave HTTP response to HTTPS client"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: {error.reason or error}"
    words = _CERTIFICATES.get(error.verify_code, error.verify_message.rstrip("."))
    return f"tls: failed to verify certificate: x509: {words}"


def _cannot(why: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})
