"""What /metrics tells of the scheduler, under upstream's names (pkg/scheduler/metrics)."""

from collections import defaultdict
from collections.abc import Mapping

from knet.api.exposition import Distribution, Family, Histogram

#: upstream's buckets: from a millisecond on, doubled
_SECONDS = tuple(0.001 * 2**power for power in range(15))


class Metrics:
    """Counted since the process began."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(_SECONDS))
        self.preemptions = 0

    def attempted(self, profile: str, result: str, seconds: float) -> None:
        """One more decision: ``result`` is scheduled, unschedulable or error."""
        self._attempts[profile, result].observe(seconds)

    def families(self, pending: Mapping[str, int]) -> list[Family | Distribution]:
        """``pending``: how many pods wait, by queue."""
        rows = [({"profile": name, "result": result}, row) for (name, result), row in self._attempts.items()]
        return [
            Family("scheduler_schedule_attempts_total",
                   "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be "
                   "scheduled, while 'error' means an internal scheduler problem.",
                   "counter", [(labels, sum(row.counts), 0) for labels, row in rows]),
            Distribution("scheduler_scheduling_attempt_duration_seconds",
                         "Scheduling attempt latency in seconds (scheduling algorithm + binding)", rows),
            Family("scheduler_pending_pods", "Number of pending pods, by the queue type.", "gauge",
                   [({"queue": queue}, number, 0) for queue, number in pending.items()]),
            Family("scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now",
                   "counter", [({}, self.preemptions, 0)]),
        ]  # fmt: skip
