"""Where the kubelets are, and a TLS session to them under the API server's own identity."""

import ssl
from pathlib import Path

import aiohttp

from knet.api.resources import NODES
from knet.apiserver.context import Context
from knet.apiserver.status import StatusError
from knet.store import Object

_PORT = 10250
#: in upstream's order of --kubelet-preferred-address-types; names do not resolve on the control plane
_ADDRESS_TYPES = ("InternalIP", "ExternalIP")
#: seconds to reach a kubelet; its link may be cut
_CONNECT_TIMEOUT = 5


class Kubelets:
    """HTTPS to kubelets: client certificate apiserver-kubelet-client, server certificates of the cluster's CA."""

    def __init__(self, context: Context, pki: Path) -> None:
        self._context = context
        tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        # a kubelet is called by its address, as upstream does without --kubelet-certificate-authority
        tls.check_hostname = False
        tls.load_cert_chain(pki / "apiserver-kubelet-client.crt", pki / "apiserver-kubelet-client.key")
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, opened at its first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
                auto_decompress=False,
            )
        return self._session

    def url(self, node: str) -> str:
        """``https://ADDRESS:PORT`` of a node's kubelet; StatusError 500 as upstream where it is not known."""
        record = self._context.store.get(self._context.kinds[NODES].key("", node))
        if record is None:
            raise _cannot(f'nodes "{node}" not found')
        status: Object = record.decode().get("status", {})
        port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port") or _PORT
        for kind in _ADDRESS_TYPES:
            for row in status.get("addresses", ()):
                if row.get("type") == kind:
                    return f"https://{row['address']}:{port}"
        raise _cannot(f"no preferred addresses found; known addresses: {status.get('addresses', [])}")

    async def close(self) -> None:
        """End all streams."""
        if self._session is not None:
            await self._session.close()


def _cannot(why: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})
