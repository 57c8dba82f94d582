"""Whose child is it: a controller's objects by ownerReference, orphans that its selector matches, strays.

upstream: controller_ref_manager.go.  A controller owns what references it as ``controller: true``.  It adopts
matching objects that nobody controls and releases its own that have stopped matching (a user relabelled a pod to
take it out of service).
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple

from knet.api.objects import JSON, K, KubeObject, owner_reference
from knet.api.selectors import Selector
from knet.client import Client, Conflict, Informer, Invalid, NotFound
from knet.client.client import STRATEGIC


class Claims(NamedTuple, Generic[K]):
    """``owned`` stay; ``adopt`` get the controller reference; ``release`` lose it."""

    owned: list[K]
    adopt: list[K]
    release: list[K]


def claim(owner: KubeObject, selector: Selector, candidates: Iterable[K]) -> Claims[K]:
    """Sort the candidates (our own and orphans of our namespace); others' objects are left out."""
    owned, adopt, release = [], [], []
    for row in candidates:
        holder = row.controller()
        if holder is None:
            if not owner.deleting and not row.deleting and selector.matches(row.metadata.labels):
                adopt.append(row)
        elif holder.uid == owner.uid:
            if selector.matches(row.metadata.labels):
                owned.append(row)
            elif not owner.deleting:
                release.append(row)
    return Claims(owned, adopt, release)


async def settle(client: Client, owner: KubeObject, claims: Claims[K], informer: Informer[K]) -> list[K]:
    """Write adoptions and releases; returns what the owner has then.

    Before adopting, the owner is read from the server: one that was deleted and made anew under its name, or is
    being deleted, adopts nothing.  Objects that vanish or change meanwhile are skipped: their events come back.
    """
    owned = list(claims.owned)
    if claims.adopt:
        live = await client.get(type(owner), owner.name, owner.namespace)
        if live.uid != owner.uid or live.deleting:
            return owned
    for row in claims.adopt:
        patch = {"metadata": {"uid": row.uid, "ownerReferences": [owner_reference(owner)]}}
        if (adopted := await _patch(client, row, patch)) is not None:
            informer.assume(adopted)
            owned.append(adopted)
    for row in claims.release:
        gone: JSON = {"$patch": "delete", "uid": owner.uid}
        released = await _patch(client, row, {"metadata": {"uid": row.uid, "ownerReferences": [gone]}})
        if released is not None:
            informer.assume(released)
    return owned


async def _patch(client: Client, row: K, patch: JSON) -> K | None:
    try:
        return await client.patch(type(row), row.name, patch, row.namespace, kind=STRATEGIC)
    except (NotFound, Conflict, Invalid):  # gone, another by that name, or adopted by somebody faster
        return None


def controller_uid(row: KubeObject) -> str:
    """The uid of the controlling owner; "" for an orphan."""
    holder = row.controller()
    return holder.uid if holder is not None else ""


def index_values(row: KubeObject) -> tuple[tuple[str, str], ...]:
    """For `Index`: objects by controller uid, and orphans by namespace."""
    uid = controller_uid(row)
    return (("owner", uid),) if uid else (("orphan", row.namespace),)
