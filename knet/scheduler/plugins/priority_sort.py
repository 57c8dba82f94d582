"""PrioritySort: the highest priority first, then the longest waiting."""

from knet.scheduler.plugin import Plugin
from knet.scheduler.pod import PodInfo


class PrioritySort(Plugin):
    def sort_key(self, pod: PodInfo, since: float) -> tuple[int, float]:
        return -pod.priority, since
