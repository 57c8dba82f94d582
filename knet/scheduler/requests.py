"""What a pod asks for: cpu in thousandths of a core, memory and storage in bytes, anything else in pieces."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from knet.api.objects import Container, Pod
from knet.api.pod_resources import add, effective
from knet.api.quantity import milli, whole

#: for scoring only, a container without requests counts as this much, so that such pods spread too (upstream)
DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024

Amounts = dict[str, int]


class Requests(NamedTuple):
    """``asked`` is what has to be free; ``scored`` the same with the defaults of cpu and memory filled in."""

    asked: Amounts
    scored: Amounts


@lru_cache(maxsize=4096)
def amount(name: str, text: str | int | float) -> int:
    """A quantity in the unit of its resource."""
    return milli(text) if name == "cpu" else whole(text)


def amounts(quantities: Mapping[str, str | int | float]) -> Amounts:
    return {name: amount(name, text) for name, text in quantities.items()}


def pod_requests(pod: Pod) -> Requests:
    """The pod's effective requests, with the overhead of its runtime class.

    See `knet.api.pod_resources.effective` for how containers, sidecars and init containers count.
    """
    overhead = amounts(pod.spec.overhead)
    asked, scored = _effective(pod, _asked), _effective(pod, _with_defaults)
    add(asked, overhead)
    add(scored, overhead)
    asked = {name: value for name, value in asked.items() if value}
    return Requests(asked, {**asked, "cpu": scored.get("cpu", 0), "memory": scored.get("memory", 0)})


def _asked(container: Container) -> Amounts:
    return amounts(container.resources.requests)


def _with_defaults(container: Container) -> Amounts:
    asked = _asked(container)
    return {"cpu": asked.get("cpu", DEFAULT_MILLI_CPU), "memory": asked.get("memory", DEFAULT_MEMORY)}


def _effective(pod: Pod, of: Callable[[Container], Amounts]) -> Amounts:
    first = ((of(container), container.restartPolicy == "Always") for container in pod.spec.initContainers)
    return effective(map(of, pod.spec.containers), first)
