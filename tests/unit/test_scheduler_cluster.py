"""The scheduler's picture of the cluster, kept by addition and subtraction, is the one that counting anew gives."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_harness import HOSTNAME, ZONE, cluster, framework, node, pod

from knet.api.objects import Pod
from knet.scheduler.cluster import Cluster
from knet.scheduler.pod import PodInfo

NODES = ("n1", "n2", "n3")
PODS = ("a", "b", "c", "d")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("assume", "confirm", "forget", "remove", "relabel", "lose", "nominate", "what if")),
        st.sampled_from(PODS),
        st.sampled_from(NODES),
        st.integers(0, 2),
    ),
    max_size=40,
)


def some(name: str, kind: int, **spec: Any) -> Pod:
    """Of three kinds, the last with a port."""
    requests = {"cpu": f"{kind + 1}", **({"example.com/gpu": "1"} if kind == 1 else {})}
    return pod(name, requests, port=8000 if kind == 2 else 0, labels={"kind": str(kind)}, **spec)


def picture(of: Cluster) -> dict[str, object]:
    """What decisions read, without what is zero."""
    groups = {
        (group.likeness.labels, key): {value: count for value, count in group.domains(key).items() if count}
        for group in of.groups.values()
        for key in (HOSTNAME, ZONE)
    }
    return {
        "nodes": {
            info.name: (
                sorted(info.pods),
                {name: value for name, value in info.requested.items() if value},
                {name: value for name, value in info.scored.items() if value},
                dict(info.ports),
            )
            for info in of.nodes
        },
        "groups": groups,
    }


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("place", "place", "remove", "relabel", "cordon", "taint", "shrink", "nominate", "withdraw")),
        st.integers(0, 7),
        st.sampled_from(NODES),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_what_is_remembered_is_what_would_be_said(changes: list[tuple[str, int, str, int]]) -> None:
    """A framework that has seen all of it decides as one that has only just been made."""
    kept = cluster(*map(node, NODES))
    old = framework(kept)
    for change, number, where, kind in changes:
        there = PodInfo(some(f"p{number}", kind))
        match change:
            case "place" if kept.home(there.key) is None:
                kept.assume(there, where)
            case "remove":
                kept.remove(there.key)
            case "relabel":
                kept.set_node(node(where, ("east", "west")[kind % 2]))
            case "cordon":
                kept.set_node(node(where, unschedulable=bool(kind)))
            case "taint":
                kept.set_node(node(where, taints=[{"key": "busy", "effect": "NoSchedule"}] * bool(kind)))
            case "shrink":
                kept.set_node(node(where, cpu=str(kind)))
            case "nominate":
                kept.nominate(PodInfo(some("waits", kind, priority=100)), where)
            case "withdraw":
                kept.withdraw(PodInfo(some("waits", kind)).key)
        for asking in (some("new", kind), some("picky", kind, nodeSelector={ZONE: "west"})):
            new = framework(kept)
            before, anew = old.decide(PodInfo(asking)), new.decide(PodInfo(asking))
            assert before.diagnosis == anew.diagnosis
            assert old.scores(PodInfo(asking), kept.nodes) == new.scores(PodInfo(asking), kept.nodes)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_sums_are_those_of_counting_anew(steps: list[tuple[str, str, str, int]]) -> None:
    zones = dict.fromkeys(NODES, "east")
    kept = cluster(*map(node, NODES, zones.values()))
    for step, name, where, kind in steps:
        key, home = PodInfo(some(name, kind)).key, kept.home(PodInfo(some(name, kind)).key)
        match step:
            case "assume" if home is None:
                kept.assume(PodInfo(some(name, kind)), where)
            case "confirm":
                kept.confirm(some(name, kind, nodeName=where))
            case "forget":
                kept.forget(key)
            case "remove":
                kept.remove(key)
            case "relabel":
                zones[where] = ("east", "west")[kind % 2]
                kept.set_node(node(where, zones[where]))
            case "lose":
                zones.pop(where, None)
                kept.remove_node(where)
            case "nominate":
                kept.nominate(PodInfo(some(name, kind)), where if kind else "")
            case "what if" if home is not None:
                there = home.pods[key]
                kept.take(home, there)
                kept.put(home, there)
        picture(kept)  # from now on the domains are kept, too
    anew = cluster(*(node(name, zones[name]) for name in (info.name for info in kept.nodes)))
    for info in {kept.home(PodInfo(some(name, 0)).key) for name in PODS} - {None}:
        assert info is not None
        for there in info.pods.values():
            anew.assume(there, info.name)
    assert picture(kept) == picture(anew)
