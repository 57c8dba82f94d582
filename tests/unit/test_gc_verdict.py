"""The garbage collector's judgement, and the graph it rests on."""

import pytest

from knet.api import resources
from knet.api.objects import OwnerReference
from knet.controllers.garbage.graph import Graph, Node
from knet.controllers.garbage.verdict import Delete, Keep, OwnerState, verdict, without_owners

SOLID, WAITING, ABSENT = OwnerState.SOLID, OwnerState.WAITING, OwnerState.ABSENT


def node(uid: str, *owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False, blocks: bool = True) -> Node:
    references = tuple(
        OwnerReference(apiVersion="apps/v1", kind="ReplicaSet", name=owner, uid=owner, blockOwnerDeletion=blocks)
        for owner in owners
    )
    return Node(resources.PODS, "default", uid, uid, references, finalizers, deleting)


IN_FOREGROUND = node("dependent", "me", finalizers=("foregroundDeletion",), deleting=True)


@pytest.mark.parametrize(
    ("finalizers", "owners", "dependents", "expected"),
    [
        ((), {"a": SOLID}, [], Keep()),
        ((), {"a": SOLID, "b": ABSENT}, [], Keep(("b",))),
        ((), {"a": SOLID, "b": WAITING}, [], Keep(("b",))),
        ((), {"a": ABSENT}, [], Delete("Background")),
        ((), {"a": ABSENT, "b": WAITING}, [], Delete("Background")),
        ((), {"a": WAITING}, [node("d", "me")], Delete("Foreground")),
        ((), {"a": WAITING}, [IN_FOREGROUND], Delete("Foreground", unblock=True)),
        (("orphan",), {"a": ABSENT}, [], Delete("Orphan")),
        (("foregroundDeletion",), {"a": ABSENT}, [], Delete("Foreground")),
    ],
)
def test_verdicts(
    finalizers: tuple[str, ...], owners: dict[str, OwnerState], dependents: list[Node], expected: Keep | Delete
) -> None:
    assert verdict(node("me", *owners, finalizers=finalizers), owners, dependents) == expected


def test_the_graph_follows_adoption_release_and_deletion() -> None:
    graph = Graph()
    graph.put(node("pod", "one"))
    graph.put(node("other", "one"))
    assert {row.uid for row in graph.dependents("one")} == {"pod", "other"}, "of an owner that was never seen"
    graph.put(node("pod", "two"))
    assert [row.uid for row in graph.dependents("one")] == ["other"]
    assert [row.uid for row in graph.dependents("two")] == ["pod"]
    graph.remove("pod")
    assert graph.dependents("two") == []
    assert graph.get("pod") is None


def test_who_waits_in_foreground_deletion_and_for_whom() -> None:
    assert IN_FOREGROUND.deleting_dependents
    assert not node("x", finalizers=("foregroundDeletion",)).deleting_dependents
    assert node("pod", "owner").blocks("owner")
    assert not node("pod", "owner", blocks=False).blocks("owner")
    assert not node("pod", "owner").blocks("other")


def test_references_are_taken_out_one_by_one() -> None:
    left = without_owners(node("pod", "a", "b").owners, ("a",))
    assert [reference["uid"] for reference in left] == ["b"]
    assert left[0]["blockOwnerDeletion"] is True
    assert "controller" not in left[0]
