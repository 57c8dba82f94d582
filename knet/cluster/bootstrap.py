"""The last step of ``up``, as one short-lived process on the first worker: add-ons applied, everything answering.

It runs where a pod's traffic would start, so that "DNS answers" means what a pod will see: a question to the
cluster IP, through this machine's kube-proxy rules, over the pod network, to a DNS pod.
"""

import asyncio
import socket
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from dnslib import DNSError, DNSRecord

from knet.api.names import CLUSTER_DOMAIN, NODE_LEASE_NAMESPACE, SERVICE_NAME_LABEL, SYSTEM_NAMESPACE
from knet.api.objects import EndpointSlice, Lease, Node, condition
from knet.api.resources import CONFIGMAPS
from knet.client import AlreadyExists, ApiError, Client, Informer, Unavailable
from knet.client.component import run
from knet.cluster import channel
from knet.cluster.addons import cluster_dns, corefile, ingress_nginx, storage_class
from knet.cluster.apply import apply
from knet.cluster.channel import Message
from knet.cluster.lab.definitions import definitions

#: seconds between questions to the DNS while kube-proxy and the DNS pod come up
ASK_EVERY = 0.02
#: seconds after which the cluster is left as it is, with a word about its DNS
DNS_DEADLINE = 15
#: components of the control plane, as they are told of
_PARTS = {"kube-controller-manager": "controllers", "kube-scheduler": "scheduler"}
#: without whom there is no pod network, and no cluster DNS
_NETWORK = ("kube-controller-manager", "node-ipam-controller")
_DNS = (
    *("kube-scheduler", "kube-proxy", "deployment-controller", "replicaset-controller", "endpointslice-controller"),
    *("serviceaccount-controller", "root-ca-certificate-publisher-controller"),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``listen_fds``: the socket that progress is told on. ``deadline`` in seconds.  ``off``: what does not run."""

    kubeconfig: str
    nodes: list[str]
    dns_ip: str
    ingress: str = "none"
    store: str
    deadline: float
    listen_fds: list[int]
    off: list[str] = []


class Bootstrap:
    def __init__(self, options: Options, client: Client, report: socket.socket) -> None:
        self._options = options
        self._client = client
        self._report = report
        self._started = datetime.now(UTC)
        self._missing = "the API server"

    async def run(self) -> None:
        """Tell each step; finally ready, or an error that names what did not come."""
        try:
            async with asyncio.timeout(self._options.deadline):
                await self._steps()
        except TimeoutError:
            text = f"no answer from {self._missing} within {self._options.deadline:.0f} s; see: knet logs"
            channel.tell(self._report, Message(error=text))
        else:
            channel.tell(self._report, Message(ready=True))

    async def _steps(self) -> None:
        while True:
            try:
                await self._client.raw("GET", "/readyz")
                break
            except (ApiError, Unavailable):  # a 500 says that its own start-up is not over
                await asyncio.sleep(ASK_EVERY)
        with suppress(AlreadyExists):  # it is there, and may have been changed since
            await self._client.raw("POST", CONFIGMAPS.path(SYSTEM_NAMESPACE), corefile())
        extra = ingress_nginx() if self._options.ingress == "nginx" else []
        for manifest in (*cluster_dns(self._options.dns_ip), storage_class(), *definitions(), *extra):
            await apply(self._client, manifest)
        etcd = "etcd · " if self._options.store == "etcd" else ""
        parts = [word for name, word in _PARTS.items() if name not in self._options.off]
        self._tell("control", etcd + " · ".join(["kube-apiserver", *parts]))
        await self._nodes()
        word = "registered" if self._lacks(*_NETWORK) else "Ready"
        self._tell("nodes", " · ".join(f"{name} {word}" for name in self._options.nodes))
        if lacking := self._lacks(*_NETWORK, *_DNS):
            self._tell("dns", f"not waited for: {', '.join(lacking)} off")
            return
        try:
            async with asyncio.timeout(DNS_DEADLINE):
                await self._dns()
        except TimeoutError:  # a network that is broken on purpose is a lab, too: two_racks with host-gw
            where = f"knet logs network-agent@{self._options.nodes[0]}"
            self._tell("dns", f"no answer from {self._missing}; is the pod network whole? {where}")
        else:
            self._tell("dns", f"kube-dns {self._options.dns_ip} answering")

    def _lacks(self, *names: str) -> list[str]:
        return [name for name in names if name in self._options.off]

    async def _nodes(self) -> None:
        """Wait until every node is Ready (or there, if nobody gives it a network), by a heartbeat of this life."""
        nodes = Informer(self._client, Node)
        leases = Informer(self._client, Lease, namespace=NODE_LEASE_NAMESPACE)
        changed = asyncio.Event()
        for informer in (nodes, leases):
            informer.subscribe(lambda *_: changed.set())
        tasks = [asyncio.ensure_future(nodes.run()), asyncio.ensure_future(leases.run())]
        try:
            while waiting := [name for name in self._options.nodes if not self._alive(nodes, leases, name)]:
                self._missing = "; ".join(_why(nodes.get("", name), name) for name in waiting)
                changed.clear()
                await changed.wait()
        finally:
            for task in tasks:
                task.cancel()

    def _alive(self, nodes: "Informer[Node]", leases: "Informer[Lease]", name: str) -> bool:
        node, lease = nodes.get("", name), leases.get(NODE_LEASE_NAMESPACE, name)
        if node is None or lease is None or not lease.spec.renewTime:
            return False
        if not node.ready and not self._lacks(*_NETWORK):
            return False
        return datetime.fromisoformat(lease.spec.renewTime) >= self._started

    async def _dns(self) -> None:
        """Wait for a ready DNS pod, then ask until the answer is there."""
        self._missing = "the cluster DNS (no pod is ready: kubectl -n kube-system get pods)"
        label = f"{SERVICE_NAME_LABEL}=kube-dns"
        slices = Informer(self._client, EndpointSlice, SYSTEM_NAMESPACE, label_selector=label)
        ready = asyncio.Event()

        def look(_: EndpointSlice | None, new: EndpointSlice | None) -> None:
            if new is not None and any(row.conditions.ready for row in new.endpoints):
                ready.set()

        slices.subscribe(look)
        watching = asyncio.ensure_future(slices.run())
        await ready.wait()
        watching.cancel()
        self._missing = f"the cluster DNS at {self._options.dns_ip}"
        kind = "AAAA" if ":" in self._options.dns_ip else "A"  # the Service has this family alone
        question = DNSRecord.question(f"kubernetes.default.svc.{CLUSTER_DOMAIN}", kind).pack()
        while not await asyncio.to_thread(_answered, self._options.dns_ip, question):
            await asyncio.sleep(ASK_EVERY)

    def _tell(self, step: str, text: str) -> None:
        channel.tell(self._report, Message(step=step, text=text))


def _why(node: Node | None, name: str) -> str:
    if node is None:
        return f"node {name} (not registered)"
    found = condition(node.status.conditions, "Ready")
    return f"node {name} ({found.message if found else 'no status'})"


def _answered(server: str, question: bytes) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.25)
        try:
            sock.connect((server, 53))
            sock.send(question)
            return bool(DNSRecord.parse(sock.recv(4096)).rr)
        except (OSError, DNSError):
            return False


def main(options: Options) -> None:
    """Run to the end; what happened has been told on the socket."""

    async def body() -> None:
        with socket.socket(fileno=options.listen_fds[0]) as report:
            async with Client.from_kubeconfig(options.kubeconfig, "knet-bootstrap") as client:
                await Bootstrap(options, client, report).run()

    run("bootstrap", body)
