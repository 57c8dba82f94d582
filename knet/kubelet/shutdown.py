"""Graceful node shutdown: the machine is about to go down, and its pods are ended in order while there is time.

https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/.  No systemd of a machine can be asked for a
delay; the kubelet is told by SIGPWR, the signal of a failing power supply.
"""

import asyncio
import logging
import signal

from knet.api.objects import Pod
from knet.api.timing import Timing
from knet.kubelet.node import Health, NodeReporter
from knet.kubelet.pods import Pods

log = logging.getLogger(__name__)

#: pods of this priority and above are critical (system-cluster-critical)
CRITICAL = 2_000_000_000
ENDED = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
REFUSED = ("NodeShutdown", "Pod was rejected as the node is shutting down.")


class Shutdown:
    """`run` waits for the signal; a machine that goes down does not come back by it, but by a new kubelet."""

    def __init__(self, timing: Timing, pods: Pods, node: NodeReporter, health: Health) -> None:
        self._whole, self._critical = timing.shutdown_grace_period, timing.shutdown_grace_period_critical_pods
        self._pods = pods
        self._node = node
        self._health = health

    async def run(self) -> None:
        """Until cancelled."""
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGPWR, told.set)
        await told.wait()
        if not self._whole:
            log.warning("shutdownGracePeriod is 0: pods are not asked to end")
            return
        log.info("the node is shutting down; pods get %g s", self._whole)
        self._health.going_down = True
        self._pods.checks.insert(0, lambda pod: REFUSED)
        self._node.changed()
        await self._end(critical=False, grace=self._whole - self._critical)
        await self._end(critical=True, grace=self._critical)
        log.info("all pods have ended")

    async def _end(self, critical: bool, grace: float) -> None:
        chosen = [(pod, worker) for pod, worker in self._pods.working() if is_critical(pod) is critical]
        for _, worker in chosen:
            worker.doom(*ENDED, grace)
        try:
            async with asyncio.timeout(grace):
                await asyncio.gather(*(worker.stopped.wait() for _, worker in chosen))
        except TimeoutError:
            names = [f"{pod.namespace}/{pod.name}" for pod, worker in chosen if not worker.stopped.is_set()]
            log.warning("not ended in time: %s", ", ".join(names))


def is_critical(pod: Pod) -> bool:
    """Whether a pod goes last: by its priority, or because the machine itself runs it."""
    return pod.static or pod.spec.priority >= CRITICAL
