"""The pods of this machine: one worker each, fed by the watch; orphans of former times are cleaned up."""

import asyncio
import logging
from collections.abc import Callable, Iterator

from knet.api.objects import Container, Meta, Pod, PodSpec
from knet.client import Informer
from knet.kubelet.admission import Needs, capacity, forbidden_sysctl, needs, port_taken, reject
from knet.kubelet.machine import Machine
from knet.kubelet.runtime.paths import Identity, clean_up_after_a_reboot, known_pods
from knet.kubelet.worker import PodWorker

log = logging.getLogger(__name__)

#: seconds that the containers of a pod deleted while no kubelet was there get to end
ORPHAN_GRACE = 2


class Pods:
    """Workers by the uid of their pod, so that a pod and its successor of the same name are two."""

    def __init__(self, machine: Machine, informer: Informer[Pod]) -> None:
        self._machine = machine
        self._informer = informer
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._known: set[str] = set()
        self._needs: dict[str, Needs] = {}
        self._capacity = capacity(machine.allocatable)
        #: each says (reason, message) of a new pod that cannot be here, or None
        self.checks: list[Callable[[Pod], tuple[str, str] | None]] = [forbidden_sysctl, self._no_room, self._no_port]

    def begin(self) -> None:
        """Adopt what an earlier kubelet left, clean up after pods that are gone, and follow the watch from now on.

        To be called when the informers are in sync.
        """
        there = {pod.uid for pod in self._informer.list()} | self._workers.keys()
        known = known_pods(self._machine.root_dir)
        clean_up_after_a_reboot(self._machine.root_dir, self._machine.log_dir, there | {row.uid for row in known})
        for identity in known:
            self._known.add(identity.uid)
            if identity.uid not in there:
                log.info("pod %s/%s is gone from the API: cleaning up", identity.namespace, identity.name)
                worker = self._start(self._orphan(identity))
                worker.remove()
        self._informer.subscribe(self._changed)

    def find(self, namespace: str, name: str) -> tuple[Pod, PodWorker] | None:
        """A pod that runs here and its worker."""
        pod = self._informer.get(namespace, name)
        worker = self._workers.get(pod.mirrors or pod.uid) if pod is not None else None
        return (worker.pod, worker) if worker is not None else None

    def working(self) -> "Iterator[tuple[Pod, PodWorker]]":
        """The pods that have a worker here, each in its latest version."""
        for worker in self._workers.values():
            yield worker.pod, worker

    def list(self) -> list[Pod]:
        return list(self._informer.list())

    def network_became_ready(self) -> None:
        for worker in self._workers.values():
            worker.network_became_ready()

    def release(self) -> None:
        """The kubelet stops; pods run on."""
        for task in self._tasks.values():
            task.cancel()
        for worker in self._workers.values():
            worker.release()

    def start_static(self, pod: Pod) -> None:
        """Run a static pod, or go on with it: an earlier kubelet may have started it."""
        if any(identity.uid == pod.uid for identity in known_pods(self._machine.root_dir)):
            self._known.add(pod.uid)
        self._start(pod)

    def stop_static(self, uid: str) -> None:
        """Its manifest has gone."""
        if (worker := self._workers.get(uid)) is not None:
            worker.remove()

    def _changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            worker = self._workers.get(old.uid)
            if worker is not None:
                worker.remove()
        if new is None or new.mirrors:
            return
        if new.finished:
            self._needs.pop(new.uid, None)
        worker = self._workers.get(new.uid)
        if worker is None:
            self._start(new)
        else:
            worker.update(new)

    def _start(self, pod: Pod) -> PodWorker:
        worker = self._workers[pod.uid] = PodWorker(self._machine, pod)
        if pod.uid in self._known:
            worker.adopt()
        elif not pod.deleting and not pod.finished:
            rejection = next(filter(None, (check(pod) for check in self.checks)), None)
            if rejection is not None:
                reason, message = rejection
                self._machine.events.event(pod, "Warning", reason, message)
                worker.doom(reason, f"Pod was rejected: {message}")
        if not pod.finished:
            self._needs[pod.uid] = needs(pod)
        task = self._tasks[pod.uid] = asyncio.create_task(worker.run(), name=f"{pod.namespace}/{pod.name}")
        task.add_done_callback(lambda done: self._ended(pod.uid, done))
        return worker

    def _no_room(self, pod: Pod) -> tuple[str, str] | None:
        others = [self._needs[uid] for uid in self._alive() if uid in self._needs]
        return reject(needs(pod), others, self._capacity)

    def _no_port(self, pod: Pod) -> tuple[str, str] | None:
        return port_taken(pod, (self._workers[uid].pod for uid in self._alive() if uid != pod.uid))

    def _alive(self) -> Iterator[str]:
        """Whose room is taken: what has ended has given it back, though the API may not know yet."""
        return (uid for uid, worker in self._workers.items() if not (worker.stopped.is_set() or worker.pod.finished))

    def _ended(self, uid: str, task: "asyncio.Task[None]") -> None:
        del self._workers[uid], self._tasks[uid]
        self._needs.pop(uid, None)
        self._known.discard(uid)
        if not task.cancelled() and task.exception() is not None:
            log.error("worker of pod %s failed", task.get_name(), exc_info=task.exception())

    def _orphan(self, identity: Identity) -> Pod:
        """A pod as far as the disk knows it: enough to stop its containers and remove what it used."""
        directory = self._machine.root_dir / "pods" / identity.uid / "containers"
        names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
        return Pod(
            metadata=Meta(namespace=identity.namespace, name=identity.name, uid=identity.uid),
            spec=PodSpec(
                containers=tuple(Container(name=name) for name in names),
                terminationGracePeriodSeconds=ORPHAN_GRACE,
            ),
        )
