"""Who is evicted when memory is short, and what is said of it."""

from typing import Any

import msgspec
import pytest

from knet.api.objects import Pod
from knet.kubelet.pressure import Candidate, message, threshold

MIB = 1 << 20


def candidate(name: str, used: int, asked: int = 0, priority: int = 0) -> Candidate:
    spec: dict[str, Any] = {"priority": priority, "containers": [{"name": "c"}]}
    pod = msgspec.convert({"metadata": {"name": name}, "spec": spec}, Pod)
    return Candidate(pod, {"c": used * MIB}, {"c": asked * MIB})


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([candidate("small", 10), candidate("large", 20)], "large"),
        ([candidate("modest", 200, asked=300), candidate("greedy", 20, asked=10)], "greedy"),
        ([candidate("dear", 200, priority=10), candidate("cheap", 20)], "cheap"),
        ([candidate("asked", 200, asked=190), candidate("unasked", 20)], "unasked"),
        ([candidate("a", 100, asked=300), candidate("b", 100, asked=200)], "b"),
    ],
)
def test_who_takes_most_beyond_what_it_asked_for_goes_first(rows: list[Candidate], first: str) -> None:
    assert max(rows, key=lambda row: row.rank).pod.name == first


def test_the_sentence_names_the_shortage_and_who_caused_it() -> None:
    assert message(candidate("p", 200, asked=64), 100 * MIB, 50 * MIB) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. "
        "Container c was using 204800Ki, request is 64Mi, has larger consumption of memory. "
    )
    assert "Container" not in message(candidate("p", 10, asked=64), 100 * MIB, 50 * MIB)


def test_a_small_machine_has_a_small_threshold() -> None:
    assert threshold(4096 * MIB) == 100 * MIB
    assert threshold(200 * MIB) == 20 * MIB
