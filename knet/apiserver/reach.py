"""How the API server reaches what it is asked to pass on to: the kubelets, under its own identity."""

import asyncio
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from knet.api.resources import NODES
from knet.apiserver.context import Context
from knet.apiserver.http import BodyBroken, BodyTooLarge
from knet.apiserver.http.client import Backend
from knet.apiserver.status import StatusError
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
    """Where a connection goes: plain TCP, or TLS under ``tls``."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """As it stands in a URL, and in a Host field."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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

    async def connect(self, endpoint: Endpoint) -> Backend:
        """Open a connection; Unreachable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                _, backend = await loop.create_connection(Backend, endpoint.host, endpoint.port, ssl=endpoint.tls)
        except TimeoutError:
            raise Unreachable(f"dial tcp {endpoint.authority}: i/o timeout") from None
        except ssl.SSLError as error:
            raise Unreachable(f"tls: {error.reason or error}") from None
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise Unreachable(f"dial tcp {endpoint.authority}: connect: {reason}") from None
        return backend

    async def fetch(self, endpoint: Endpoint, target: str) -> bytes:
        """The body of a GET of a path; ConnectionError for any answer but 200."""
        backend = await self.connect(endpoint)
        try:
            await backend.send("GET", target, [("Host", endpoint.authority)])
            await backend.head()
            data = await backend.body.read(_LARGEST)
        except (BodyBroken, BodyTooLarge) as error:
            raise ConnectionError(str(error)) from None
        finally:
            backend.abort()
        if backend.status != 200:
            raise ConnectionError(f"{endpoint.authority} answers {backend.status}: {data.decode(errors='replace')}")
        return data


def _cannot(why: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})
