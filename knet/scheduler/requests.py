"""What a pod asks for: cpu in thousandths of a core, memory and storage in bytes, anything else in pieces."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from knet.api.objects import Container, Pod
from knet.api.quantity import milli, whole

#: for scoring only, a container without requests counts as this much, so that such pods spread too (upstream)
DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024

Amounts = dict[str, int]


class Requests(NamedTuple):
    """``asked`` is what has to be free; ``scored`` are (cpu, memory) with the defaults filled in."""

    asked: Amounts
    scored: tuple[int, int]


@lru_cache(maxsize=4096)
def amount(name: str, text: str | int | float) -> int:
    """A quantity in the unit of its resource."""
    return milli(text) if name == "cpu" else whole(text)


def amounts(quantities: Mapping[str, str | int | float]) -> Amounts:
    return {name: amount(name, text) for name, text in quantities.items()}


def pod_requests(pod: Pod) -> Requests:
    """The pod's effective requests.

    Containers and sidecars run together, so they add up; init containers run one after the other before them
    (beside the sidecars that were started by then), so only the greediest counts, where it exceeds that sum.
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    return Requests(_effective(pod, _asked), _scored(pod))


def _asked(container: Container) -> Amounts:
    return amounts(container.resources.requests)


def _with_defaults(container: Container) -> Amounts:
    asked = _asked(container)
    return {"cpu": asked.get("cpu", DEFAULT_MILLI_CPU), "memory": asked.get("memory", DEFAULT_MEMORY)}


def _scored(pod: Pod) -> tuple[int, int]:
    found = _effective(pod, _with_defaults)
    return found.get("cpu", 0), found.get("memory", 0)


def _effective(pod: Pod, of: Callable[[Container], Amounts]) -> Amounts:
    total: Amounts = {}
    for container in pod.spec.containers:
        _add(total, of(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.initContainers:
        mine = of(container)
        if container.restartPolicy == "Always":
            _add(sidecars, mine)
            _raise(peak, sidecars)
        else:
            beside = dict(sidecars)
            _add(beside, mine)
            _raise(peak, beside)
    _add(total, sidecars)
    _raise(total, peak)
    return total


def _add(total: Amounts, more: Amounts) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise(total: Amounts, floor: Amounts) -> None:
    for name, value in floor.items():
        total[name] = max(total.get(name, 0), value)
