"""What kube-proxy's /metrics tells, under upstream's names (pkg/proxy/metrics)."""

import time
from collections import defaultdict

from knet.api.exposition import Distribution, Family, Histogram

#: upstream's buckets: from 0.25 s in quarters, then doubled; the first two are for a lab
_SECONDS = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1, 2, 5, 10, 20, 60, 120, 300)
_FAMILIES = {4: "IPv4", 6: "IPv6"}


class Metrics:
    """Counted since the process began, by address family."""

    def __init__(self) -> None:
        self._waiting: dict[int, float] = {}
        self._queued: dict[int, float] = {}
        self._synced: dict[int, float] = {}
        self._programming: dict[int, Histogram] = defaultdict(lambda: Histogram(_SECONDS))

    def queued(self, family: int) -> None:
        """A change has come in."""
        self._queued[family] = time.time()
        self._waiting.setdefault(family, time.monotonic())

    def synced(self, family: int) -> None:
        """All that had come in is in force."""
        self._synced[family] = time.time()
        if (since := self._waiting.pop(family, None)) is not None:
            self._programming[family].observe(time.monotonic() - since)

    def families(self) -> list[Family | Distribution]:
        def labels(family: int) -> dict[str, str]:
            return {"ip_family": _FAMILIES[family]}

        return [
            Family("kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                   "The last time proxy rules were successfully synced", "gauge",
                   [(labels(family), at, 0) for family, at in self._synced.items()]),
            Family("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                   "The last time a sync of proxy rules was queued", "gauge",
                   [(labels(family), at, 0) for family, at in self._queued.items()]),
            Distribution("kubeproxy_network_programming_duration_seconds",
                         "In Cluster Network Programming Latency in seconds",
                         [(labels(family), row) for family, row in self._programming.items()]),
        ]  # fmt: skip
