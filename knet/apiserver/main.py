"""kube-apiserver: opens the store, bootstraps the cluster, listens until SIGTERM."""

import asyncio
import gc
import logging
import resource
import socket
import ssl
from pathlib import Path

import msgspec

from knet.api.families import ranges, split
from knet.api.names import SERVICE_CIDR
from knet.api.resources import SERVICES
from knet.api.schema import schema_of
from knet.api.timing import PROFILES
from knet.apiserver import reviews
from knet.apiserver.addresses import Allocations
from knet.apiserver.admission import Admission
from knet.apiserver.admission.plugins import plugins
from knet.apiserver.audit import Audit, Policy
from knet.apiserver.audit.policy import DEFAULT
from knet.apiserver.authentication import Authenticator, Tokens, user_of_certificate
from knet.apiserver.authorization import Authorizer
from knet.apiserver.authorization.reconcile import reconcile
from knet.apiserver.bootstrap import bootstrap
from knet.apiserver.context import Context, Selectable
from knet.apiserver.custom.controller import Definitions
from knet.apiserver.documents import Documents
from knet.apiserver.expiry import expire_events
from knet.apiserver.http import HttpServer
from knet.apiserver.kinds import auxiliary, schema_kinds, served
from knet.apiserver.reach import Reach
from knet.apiserver.registry import Registry
from knet.apiserver.server import ApiServer
from knet.apiserver.subresources import handlers
from knet.client import component
from knet.store import opened

log = logging.getLogger(__name__)

STORE_FILE = "store.db"
#: thresholds of the garbage collector: hardly anything here forms a cycle, and Python's own cost a create a seventh
COLLECT = (20_000, 20, 50)
#: seconds that answers under way have when the server is to end
SHUTDOWN = 0.2


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one API server is run.

    ``store`` is an etcd's URL; "" is a database file in ``data_dir``.  ``pki_dir`` holds ca.crt, apiserver.crt/.key,
    apiserver-kubelet-client.crt/.key, sa.key and sa.pub; ``listen_fds`` are sockets that listen already (connections
    wait in their backlogs across restarts); only where there are none, ``advertise_address``:``bind_port`` is bound
    here.  ``advertise_address`` and ``service_cidr`` may be one of each address family, with a comma between, the
    primary one first.  ``audit_fds``: the file that the audit log is appended to, if there is to be one.
    """

    data_dir: str
    pki_dir: str
    store: str = ""
    advertise_address: str
    bind_port: int = 6443
    listen_fds: list[int] = []
    service_cidr: str = SERVICE_CIDR
    timing: str = "lab"
    audit_fds: list[int] = []
    audit_policy: Policy = DEFAULT


def main(options: Options) -> None:
    """Run until SIGTERM or SIGINT."""
    gc.set_threshold(*COLLECT)
    # a connection is a descriptor; Go's programs raise their limit, too
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    component.run("kube-apiserver", lambda: serve(options))


async def serve(options: Options) -> None:
    """The server's life: up, serve until cancelled, down."""
    pki, data = Path(options.pki_dir), Path(options.data_dir)
    data.mkdir(parents=True, exist_ok=True)
    schema = schema_of(schema_kinds())
    kinds = Registry(served(schema).values())
    selectable = Selectable(kinds.values())
    store = await opened(options.store or str(data / STORE_FILE), selectable)
    allocations = Allocations(ranges(options.service_cidr))
    allocations.load(record.decode() for record in store.list(kinds[SERVICES].collection).records)
    authorizer = Authorizer(store)
    context = Context(
        store, kinds, auxiliary(schema), PROFILES[options.timing], allocations, Admission(plugins()), authorizer
    )
    definitions = Definitions(context, selectable)
    definitions.load()
    tokens = Tokens(pki, store)
    reach = context.admission.reach = Reach(context, pki)
    authenticator = Authenticator(tokens, store)
    handling = {**handlers(reach, tokens), **reviews.handlers(authenticator)}
    api = ApiServer(context, authenticator, handling, Documents(kinds, tokens.discovery()).find)
    handle = api.handle
    if options.audit_fds:
        handle = Audit(options.audit_policy, options.audit_fds[0], handle, authenticator, authorizer, api.routes).handle
    server = HttpServer(handle, user_of_certificate)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(authorizer.run())
            # connections wait in the backlog until everybody may do what is theirs
            await bootstrap(context, split(options.advertise_address), options.bind_port)
            await reconcile(context)
            tls = server_tls(pki)
            for listener in listeners(options):
                await server.listen(listener, tls)
            api.ready = True
            log.info("serving on %s:%d, revision %d", options.advertise_address, options.bind_port, store.revision)
            tasks.create_task(store.run())
            tasks.create_task(definitions.run())
            tasks.create_task(expire_events(context))
    finally:
        await server.close(SHUTDOWN)
        await store.close()
    log.info("stopped at revision %d", store.revision)


def listeners(options: Options) -> list[socket.socket]:
    """The sockets to serve."""
    if options.listen_fds:
        return [socket.socket(fileno=fd) for fd in options.listen_fds]
    return [socket.create_server((options.advertise_address, options.bind_port), backlog=1024)]


def server_tls(pki: Path) -> ssl.SSLContext:
    """Clients may show a certificate of the cluster's CA; those without one need a token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    # clients that would rather speak HTTP/2 learn that they cannot
    context.set_alpn_protocols(["http/1.1"])
    return context
