"""SchedulingGates: a pod with gates does not even wait for its turn (KEP-3521).

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/
"""

from knet.scheduler.hints import Change
from knet.scheduler.plugin import Plugin
from knet.scheduler.pod import PodInfo


class SchedulingGates(Plugin):
    #: only a change of the pod itself, which is looked at anyway
    helped_by = frozenset[Change]()

    def pre_enqueue(self, pod: PodInfo) -> str | None:
        gates = [row.name for row in pod.spec.schedulingGates]
        return f"waiting for scheduling gates: [{' '.join(gates)}]" if gates else None
