"""What is to become of an object that has owners, decided from what is known of each of them.

upstream: attemptToDeleteItem.  One solid owner keeps an object alive; the references to the others are then taken
out.  With none left, it is deleted.
"""

from enum import Enum
from typing import NamedTuple

from knet.api.names import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from knet.api.objects import OwnerReference
from knet.controllers.garbage.graph import Node


class OwnerState(Enum):
    """SOLID: there and staying.  WAITING: in foreground deletion, waits for this object.  ABSENT: gone for good."""

    SOLID = "solid"
    WAITING = "waiting"
    ABSENT = "absent"


class Keep(NamedTuple):
    """It stays; ``drop`` are owners' uids whose references are to be removed."""

    drop: tuple[str, ...] = ()


class Delete(NamedTuple):
    """It goes, by this propagationPolicy; with ``unblock`` its owners must not wait for it (see `verdict`)."""

    propagation: str
    unblock: bool = False


def verdict(node: Node, owners: dict[str, OwnerState], dependents: list[Node]) -> Keep | Delete:
    """``owners``: the state of each owner by uid; ``dependents``: those of the object itself."""
    solid = [uid for uid, state in owners.items() if state is OwnerState.SOLID]
    waiting = [uid for uid, state in owners.items() if state is OwnerState.WAITING]
    if solid:
        return Keep(tuple(uid for uid in owners if uid not in solid))
    if waiting and dependents:
        # Foreground deletion goes down the tree before it goes up.  Two that own one another would wait for ever:
        # where a dependent is in foreground deletion already, the circle is opened here.
        circle = any(dependent.deleting_dependents for dependent in dependents)
        return Delete("Foreground", unblock=circle)
    if ORPHAN_FINALIZER in node.finalizers:
        return Delete("Orphan")
    if FOREGROUND_FINALIZER in node.finalizers:
        return Delete("Foreground")
    return Delete("Background")


def without_owners(owners: tuple[OwnerReference, ...], drop: tuple[str, ...]) -> list[dict[str, object]]:
    """ownerReferences as JSON, less those."""
    return [
        {
            "apiVersion": owner.apiVersion,
            "kind": owner.kind,
            "name": owner.name,
            "uid": owner.uid,
            **({"controller": True} if owner.controller else {}),
            **({"blockOwnerDeletion": True} if owner.blockOwnerDeletion else {}),
        }
        for owner in owners
        if owner.uid not in drop
    ]
