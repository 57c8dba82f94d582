"""kube-apiserver: opens the store, bootstraps the cluster, listens until SIGTERM."""

import logging
import socket
import ssl
from ipaddress import IPv4Network
from pathlib import Path

import msgspec
from aiohttp import web

from knet.api.names import SERVICE_CIDR
from knet.api.resources import SERVICES
from knet.api.schema import schema_of
from knet.api.timing import PROFILES
from knet.apiserver.addresses import Allocations
from knet.apiserver.admission import Admission
from knet.apiserver.admission.plugins import plugins
from knet.apiserver.authentication import Authenticator, Tokens
from knet.apiserver.bootstrap import bootstrap
from knet.apiserver.context import Context, Selectable
from knet.apiserver.documents import Documents
from knet.apiserver.expiry import expire_events
from knet.apiserver.kinds import auxiliary, schema_kinds, served
from knet.apiserver.server import ApiServer, http_server
from knet.apiserver.subresources import Kubelets, handlers
from knet.client import component
from knet.store import SqliteStore

log = logging.getLogger(__name__)

STORE_FILE = "store.db"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one API server is run.

    ``pki_dir`` holds ca.crt, apiserver.crt/.key, apiserver-kubelet-client.crt/.key, sa.key and sa.pub;
    ``listen_fds`` are sockets that listen already (connections wait in their backlogs across restarts); only where
    there are none, ``advertise_address``:``bind_port`` is bound here.
    """

    data_dir: str
    pki_dir: str
    advertise_address: str
    bind_port: int = 6443
    listen_fds: list[int] = []
    service_cidr: str = SERVICE_CIDR
    timing: str = "lab"


def main(options: Options) -> None:
    """Run until SIGTERM or SIGINT."""
    component.run("kube-apiserver", lambda: serve(options))


async def serve(options: Options) -> None:
    """The server's life: up, serve until cancelled, down."""
    pki, data = Path(options.pki_dir), Path(options.data_dir)
    data.mkdir(parents=True, exist_ok=True)
    schema = schema_of(schema_kinds())
    kinds = served(schema)
    store = SqliteStore(data / STORE_FILE, Selectable(kinds.values()))
    allocations = Allocations(IPv4Network(options.service_cidr))
    allocations.load(record.decode() for record in store.list(kinds[SERVICES].collection).records)
    context = Context(store, kinds, auxiliary(schema), PROFILES[options.timing], allocations, Admission(plugins()))
    tokens = Tokens(pki, store)
    kubelets = Kubelets(context, pki)
    api = ApiServer(context, Authenticator(tokens), handlers(kubelets, tokens), Documents(kinds.values()).find)
    runner = web.ServerRunner(http_server(api), shutdown_timeout=0.2)
    await runner.setup()
    try:
        tls = server_tls(pki)
        for fd in options.listen_fds:
            await web.SockSite(runner, socket.socket(fileno=fd), ssl_context=tls, backlog=1024).start()
        if not options.listen_fds:
            await web.TCPSite(
                runner, options.advertise_address, options.bind_port, ssl_context=tls, backlog=1024
            ).start()
        await bootstrap(context, options.advertise_address, options.bind_port)
        api.ready = True
        log.info("serving on %s:%d, revision %d", options.advertise_address, options.bind_port, store.revision)
        await expire_events(context)
    finally:
        await runner.cleanup()
        await kubelets.close()
        await store.close()
    log.info("stopped at revision %d", store.revision)


def server_tls(pki: Path) -> ssl.SSLContext:
    """Clients may show a certificate of the cluster's CA; those without one need a token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
