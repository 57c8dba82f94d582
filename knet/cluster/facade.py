"""`Cluster`: a cluster as a Python object, for labs, tests and emulation scripts.

    from knet import Cluster
    with Cluster(topo="topologies/single.py", workers=2, cni="vxlan") as cluster:
        cluster.apply("web.yaml"); cluster.wait("deployment/web", "Available")
        print(cluster.pod("client").run("wget -qO- http://web"))

The cluster lives as long as the with block, or the process if that ends first.  `Cluster.attach` works on one that
``knet up`` left running.  Everything here goes the way a user's would: objects through the API server, commands in
pods through exec, commands on machines inside their namespaces.
"""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from knet.api.names import CLUSTER_DOMAIN
from knet.api.objects import JSON
from knet.client import Client, NotFound
from knet.cluster import channel, launch, membership, operations
from knet.cluster.apply import apply
from knet.cluster.channel import Message
from knet.cluster.config import DEFAULT_NAME
from knet.cluster.drops import Refused, followed, named, remembered
from knet.cluster.errors import KnetError
from knet.cluster.handles import Link, Machine
from knet.cluster.operations import Target
from knet.cluster.state import StateDir
from knet.cluster.view import ControlView
from knet.inspect.names import Names
from knet.underlay.plan import WORKER

if TYPE_CHECKING:  # what looks at packets is imported by who looks
    from knet.cluster.connections import Connections
    from knet.cluster.faults.run import Record, Run
    from knet.cluster.timeline import Observatory, Recording
    from knet.inspect.capture.packets import Packets
    from knet.inspect.explain.explain import Explanation
    from knet.inspect.flows.connections import Flow
    from knet.inspect.inventory import Inventory
    from knet.inspect.places import Sites
    from knet.inspect.reach.matrix import Reach
    from knet.inspect.rules.compare import Rules
    from knet.inspect.timeline.timeline import Timeline
    from knet.inspect.top import LinkRate
    from knet.inspect.trace.tracing import Trace
    from knet.inspect.world import World

T = TypeVar("T")


class Pod:
    """A running pod."""

    def __init__(self, cluster: "Cluster", name: str, namespace: str) -> None:
        self._cluster = cluster
        self.name = name
        self.namespace = namespace

    @property
    def object(self) -> JSON:
        """The API object, fresh."""
        return self._cluster.get(f"pod/{self.name}", self.namespace)

    @property
    def ip(self) -> str:
        return str(self.object["status"].get("podIP", ""))

    @property
    def ips(self) -> list[str]:
        """One of each address family."""
        return [row["ip"] for row in self.object["status"].get("podIPs", ())]

    @property
    def node(self) -> str:
        return str(self.object["spec"].get("nodeName", ""))

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.object["metadata"].get("labels") or {})

    def run(self, command: str | list[str], container: str = "", check: bool = True) -> str:
        """Run a command in the pod (``kubectl exec``); its output, or CalledProcessError if it fails."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        client = self._cluster.api
        output = self._cluster.call(operations.execute(client, self.name, self.namespace, argv, container))
        if check and output.code:
            raise subprocess.CalledProcessError(output.code, argv, output.stdout, output.stderr)
        return output.stdout


class Cluster:
    """See the module. Options are those of ``knet up``; ``progress`` is called with each step's Message."""

    domain = CLUSTER_DOMAIN

    def __init__(
        self,
        topo: str | None = None,
        workers: int | None = None,
        cni: str | None = None,
        name: str = DEFAULT_NAME,
        progress: Callable[[Message], None] | None = None,
        **options: Any,
    ) -> None:
        self.name = name
        self._given = {"topo": topo, "workers": workers, "cni": cni, **options}
        self._given = {key: value for key, value in self._given.items() if value is not None}
        self._progress = progress or (lambda _: None)
        self._state = StateDir(name)
        self._running: launch.Running | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._api: Client | None = None

    @classmethod
    def attach(cls, name: str = DEFAULT_NAME) -> "Cluster":
        """A cluster that is up already; it goes on when this process ends. KnetError if it is not up."""
        cluster = cls(name=name)
        if not cluster._state.up:
            raise KnetError(f"cluster {name} is not up; bring it up with: knet up --name {name}")
        cluster._connect()
        return cluster

    # ---- life ------------------------------------------------------------------------------------------------

    def start(self) -> "Cluster":
        """Bring it up: all nodes Ready, the cluster DNS answering. KnetError, and nothing left, if that fails."""
        self._running = launch.up(self.name, self._given, self._progress)
        self._connect()
        return self

    def stop(self) -> None:
        """End a cluster that `start` brought up, and forget its state. Leave an attached one as it is."""
        self._disconnect()
        if self._running is not None:
            launch.down(self.name, delete=True)
            self._running = None

    def __enter__(self) -> "Cluster":
        return self.start() if self._api is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _connect(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="knet-client", daemon=True)
        self._thread.start()

        async def make() -> Client:
            return Client.from_kubeconfig(self._state.admin_kubeconfig, "knet-python")

        self._api = self.call(make())

    def _disconnect(self) -> None:
        if self._api is None or self._loop is None or self._thread is None:
            return
        self.call(self._api.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._api = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the cluster's event loop and wait for its result."""
        return self.begin(coroutine).result()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the cluster's event loop, without waiting."""
        if self._loop is None:
            coroutine.close()
            raise KnetError(f"cluster {self.name} has not been started")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    # ---- the API ---------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """For kubectl and client libraries: --kubeconfig, or $KUBECONFIG."""
        return self._state.admin_kubeconfig

    @property
    def api(self) -> Client:
        """knet's own asynchronous client, for use with `call`."""
        if self._api is None:
            raise KnetError(f"cluster {self.name} has not been started")
        return self._api

    @property
    def client(self) -> Any:
        """An ordinary lightkube client."""
        from lightkube import Client as Lightkube
        from lightkube import KubeConfig

        return Lightkube(KubeConfig.from_file(str(self.kubeconfig)))

    def apply(self, manifest: str | Path | JSON, namespace: str = "default") -> list[str]:
        """Apply a file, YAML text or one object; a line for each object, as kubectl prints it."""
        lines = []
        for document in _documents(manifest):
            result = self.call(apply(self.api, document, namespace))
            row = operations.Target.parse(f"{document['kind']}/{document['metadata'].get('name')}", namespace)
            lines.append(f"{row} {result}")
        return lines

    def delete(self, target: str, namespace: str = "default", grace_period: int | None = None) -> None:
        """Delete ``kind/name`` with its dependents, and wait until it is gone."""
        found = Target.parse(target, namespace)
        options: JSON = {"propagationPolicy": "Foreground"}
        if grace_period is not None:
            options = {"propagationPolicy": "Background", "gracePeriodSeconds": grace_period}
        self.call(self.api.raw("DELETE", found.path, options))
        self.wait(target, "deleted", namespace=namespace)

    def get(self, target: str, namespace: str = "default") -> JSON:
        """An object as JSON; NotFound if it is not there."""
        return self.call(operations.get(self.api, Target.parse(target, namespace)))

    def objects(self, kind: str, namespace: str = "default", selector: str = "") -> list[JSON]:
        """The objects of a kind in a namespace, by label selector."""
        import orjson

        row = Target.parse(f"{kind}/-", namespace).row
        params = {"labelSelector": selector} if selector else None
        return list(orjson.loads(self.call(self.api.raw("GET", row.path(namespace), params=params)))["items"])

    def wait(self, target: str, condition: str, timeout: float = 60, namespace: str = "default") -> None:
        """Wait for a condition ("Available", "Ready", …) or for "deleted"; KnetError after ``timeout`` seconds."""
        found = Target.parse(target, namespace)
        done = (lambda state: state is None) if condition == "deleted" else operations.has_condition(condition)
        self.call(operations.until(self.api, found, done, condition, timeout))

    def scale(self, target: str, replicas: int, namespace: str = "default") -> None:
        found = Target.parse(target, namespace)
        patch = {"spec": {"replicas": replicas}}
        path = found.row.path(found.namespace, found.name, "scale")
        self.call(self.api.raw("PATCH", path, patch, content_type="application/merge-patch+json"))

    def set_image(self, target: str, namespace: str = "default", **images: str) -> None:
        """Change containers' images: ``set_image("deployment/web", nginx="nginx:1.27")``."""
        found = Target.parse(target, namespace)
        containers = [{"name": name, "image": image} for name, image in images.items()]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        self.call(self.api.raw("PATCH", found.path, patch, content_type="application/strategic-merge-patch+json"))

    def rollout(self, target: str, timeout: float = 60, namespace: str = "default") -> None:
        """Wait until a Deployment has nothing but available pods of its present template."""
        found = Target.parse(target, namespace)
        self.call(operations.until(self.api, found, operations.rolled_out, "the rollout", timeout))

    def undo(self, target: str, namespace: str = "default") -> int:
        """Roll a Deployment back to its previous revision; that revision's number."""
        return self.call(operations.rollback(self.api, Target.parse(target, namespace)))

    # ---- pods, machines, links -------------------------------------------------------------------------------

    def pod(self, name: str, namespace: str = "default", image: str = "nicolaka/netshoot") -> Pod:
        """The pod of that name, Ready. Where there is none, one is run from ``image``, to work from."""
        try:
            self.get(f"pod/{name}", namespace)
        except NotFound:
            self.call(operations.run_pod(self.api, name, namespace, image))
        self.wait(f"pod/{name}", "Ready", namespace=namespace)
        return Pod(self, name, namespace)

    def pods(self, selector: str = "", namespace: str = "default") -> list[Pod]:
        """The pods that are there and not being deleted."""
        rows = self.objects("pods", namespace, selector)
        return [
            Pod(self, row["metadata"]["name"], namespace)
            for row in rows
            if not row["metadata"].get("deletionTimestamp")
        ]

    @property
    def machines(self) -> dict[str, Machine]:
        return {row["name"]: Machine(self._state, row["name"]) for row in self.status()["machines"]}

    def machine(self, name: str) -> Machine:
        """A machine by name; KnetError if there is none of that name."""
        machines = self.machines
        if name not in machines:
            raise KnetError(f"there is no machine {name!r}; there are: {', '.join(machines)}")
        return machines[name]

    def add_machine(
        self, name: str, switch: str = "", labels: dict[str, str] | None = None, cpu: str = "", memory: str = ""
    ) -> Machine:
        """A new worker, on a switch beside others (needed where several switches have workers); its Node is Ready."""
        options = {"switch": switch, "labels": labels, "cpu": cpu, "memory": memory}
        self.call(membership.add(self.api, self._state, name, **options))
        return Machine(self._state, name)

    def remove_machine(self, name: str, force: bool = False, told: membership.Told = lambda _: None) -> None:
        """Drain a worker, take it away and delete its Node; with ``force`` as if somebody pulled the plug.

        KnetError where it cannot leave: the last worker, pods that no controller would start elsewhere.
        """
        self.call(membership.remove(self.api, self._state, name, force, told))

    def link(self, a: str, b: str) -> Link:
        return Link(self._state, a, b)

    def partition(self, *groups: Sequence[str]) -> None:
        """Keep groups of machines apart (one: from all others); a switch's name stands for the machines on it."""
        channel.request(self._state.control, {"op": "partition", "groups": groups})

    def heal(self, *groups: Sequence[str]) -> None:
        """End the partition of these groups, or all partitions."""
        channel.request(self._state.control, {"op": "heal", "groups": groups or None})

    def faults(
        self, plan: str | Path | JSON, seed: int | None = None, told: Callable[["Record"], None] = lambda _: None
    ) -> "Run":
        """A run of a plan of faults (a file, YAML text or data): ``with cluster.faults("plan.yaml", seed=7): …`` beside
        the block, which ends it and heals all; ``.run()`` to its end.  ``told`` hears each event; `Run.log` has them.

        PlanError, before anything is done, for what is wrong with the plan.
        """
        from knet.cluster.faults.run import load, prepare

        return prepare(self._state.control, load(plan), seed, told)

    def delay(self, component: str, time: str) -> None:
        """Let a component learn later what its watches tell: ``delay("kube-proxy@n2", "300ms")``; "0" ends it."""
        channel.request(self._state.control, {"op": "delay", "component": component, "delay": time})

    def reconfigure(self, **options: Any) -> None:
        """Change options of the running cluster that may change while it runs: ``reconfigure(proxy="nftables")``."""
        launch.reconfigure(self.name, options)

    def drops(self, *machines: str, follow: bool = False) -> Iterator[Refused]:
        """What network policies refused: in the last ten minutes or, with ``follow``, each packet from now on.

        On all workers, or on those that are named; KnetError for one that does not exist.
        """
        workers = [row["name"] for row in self.status()["machines"] if row["role"] == WORKER]
        chosen = [self.machine(name) for name in machines or workers]
        names = Names()
        self.call(names.learn(self.api))
        for machine, drop in (followed if follow else remembered)(chosen):
            if follow and not (drop.source in names and drop.destination in names):
                self.call(names.learn(self.api))
            yield named(machine, drop, names)

    def conntrack(
        self, *where: str, of: Sequence[str] = (), protocol: str = "", namespace: str = "default", follow: bool = False
    ) -> "Connections":
        """The connections that machines (all, or those and the pods that ``where`` chooses) track, of objects
        (``["svc/web"]``) or all; with ``follow`` what becomes of them from now on.  KnetError."""
        from knet.cluster.connections import Connections

        return Connections(self, where, of, protocol, namespace, follow)

    def inventory(self) -> "Inventory":
        """What there is now to look at: see `knet.inspect.inventory`."""
        from knet.inspect.inventory import inventory

        with closing(ControlView(self._state)) as view:
            return self.call(inventory(view, self.api))

    def rules(self, *objects: str, machines: Sequence[str] = (), namespace: str = "default") -> "list[Rules]":
        """The rules of objects (``svc/web``) in the kernels of all workers now, with counters, and what is missing of
        them, or should not be there.  KnetError."""
        from knet.cluster import explaining

        return self.call(explaining.rules(self.api, self._state, objects, machines, namespace))

    @contextmanager
    def sites(self) -> Iterator["Sites"]:
        """Where one can look now: ``with cluster.sites() as sites: sites.places(["pod/web-0", "n1/flannel.1"])``."""
        from knet.inspect.places import Sites

        with closing(ControlView(self._state)) as view, Sites(view, self.inventory()) as sites:
            yield sites

    @contextmanager
    def capture(
        self,
        *where: str,
        filter: str = "",
        noise: bool = False,
        count: int = 0,
        seconds: float = 0,
        namespace: str = "default",
    ) -> Iterator["Packets"]:
        """Packets of scapy's: ``with cluster.capture("pod/web-0", "n1/flannel.1") as packets: …``, as `knet capture`.

        While the block runs they come as they pass; when it has ended all that passed are there.
        """
        from knet.cluster.capturing import capturing
        from knet.inspect.capture.packets import Packets

        with capturing(self, where, namespace, filter, noise) as (session, curiosity):
            packets = Packets(session, curiosity, count, seconds)
            try:
                yield packets
            finally:
                packets.stop()

    def world(self) -> "World":
        """Everything that decides about packets, read once: see `knet.inspect.world`."""
        from knet.cluster.inspection import read_world

        return self.call(read_world(self.api, self._state))

    def _observatory(self, target: str, namespace: str) -> "Observatory":
        from knet.cluster.timeline import Observatory

        return Observatory(self.api, self._state, self.status(), target, namespace)

    def timeline(self, target: str = "", namespace: str = "default", since: float = 30.0) -> "Timeline":
        """What happened in the last seconds, to an object ("deployment/web") and what belongs to it, or to all."""
        return self.call(self._observatory(target, namespace).past(since))

    @contextmanager
    def recording(self, target: str = "", namespace: str = "default", since: float = 0.0) -> Iterator["Recording"]:
        """What happens in a with block: ``with cluster.recording("svc/web") as seen: …; seen.timeline.text()``.

        ``since``: so many seconds before, too.  ``for events in seen.batches()`` has events as they come.
        """
        session = self._observatory(target, namespace).recording(self.call, since)
        recording = self.call(session.__aenter__())
        try:
            yield recording
        finally:
            self.call(session.__aexit__(None, None, None))

    def explain(
        self, *objects: str, verb: str = "", manifests: Iterable[str | Path | JSON] = (), namespace: str = "default"
    ) -> "list[Explanation]":
        """What is on each machine because of objects (``svc/web``); with ``verb`` "apply" or "delete", what would
        change if ``manifests`` (files, YAML text or data) were applied, or they and ``objects`` deleted.  KnetError."""
        from knet.cluster.explaining import explained

        documents = [row for manifest in manifests for row in _documents(manifest)]
        return self.call(explained(self.api, self._state, objects, verb, documents, namespace))

    def trace(self, source: str, target: str, **options: Any) -> "Trace":
        """Send one marked packet and follow it: ``cluster.trace("pod/client", "svc/web:80").hops``.

        Options are those of `knet.inspect.trace.tracing.Request`; KnetError for what is not there.
        """
        from knet.inspect.trace.tracing import Request, trace

        with self.sites() as sites:
            return trace(self.world(), sites, Request(source, target, **options))

    def reach(self, *where: str, **wish: Any) -> "Reach":
        """Who can talk to whom, predicted and tried; options are those of `knet.inspect.reach.ends.Wish`:
        ``cluster.reach("pod/web-*", port=8080).disagreements``."""
        from knet.inspect.reach.ends import Wish
        from knet.inspect.reach.measure import measure

        with self.sites() as sites:
            return measure(self.world, sites, Wish(where, **wish))

    def flows(self, *where: str, seconds: float = 1.0, namespace: str = "default", each: bool = False) -> "list[Flow]":
        """What flows through these places for so long, with names and rates, the most bits first: by connection
        (``each``), or those between the same two together."""
        from knet.inspect.flows.measure import measure

        names = Names()
        self.call(names.learn(self.api))
        with self.sites() as sites:
            return measure(sites, names, where, namespace, seconds, each)[0]

    def link_rates(self, seconds: float = 1.0) -> "list[LinkRate]":
        """What each link carries in each direction, the most bits first."""
        from knet.inspect.top import link_rates

        with closing(ControlView(self._state)) as view:
            before, begin = view.links(), time.monotonic()
            time.sleep(seconds)
            return link_rates(before, view.links(), time.monotonic() - begin)

    def status(self) -> JSON:
        """Machines, components and links as the supervisor sees them."""
        return channel.request(self._state.control, {"op": "status"})[0]


def _documents(manifest: str | Path | JSON) -> list[JSON]:
    if isinstance(manifest, dict):
        return [manifest]
    text = str(manifest)
    if isinstance(manifest, Path) or ("\n" not in text and os.path.exists(text)):
        try:
            text = Path(text).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise KnetError(f"{text}: {getattr(error, 'strerror', None) or 'no text'}") from None
    elif "\n" not in text:
        raise KnetError(f"{text}: no such file")
    try:
        found = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise KnetError(f"the manifest is not YAML: {' '.join(str(error).split())}") from None
    if strange := next((row for row in found if not isinstance(row, dict)), None):
        raise KnetError(f"a manifest needs apiVersion and kind; this is a {type(strange).__name__}")
    return [item for row in found for item in (row["items"] if row.get("kind") == "List" else [row])]
