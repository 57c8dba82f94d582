"""What a namespace still holds, and its deletion, kind by kind, driven by the rows of kinds alone."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from knet.api.extensions import CustomResourceDefinition
from knet.api.extensions import rows as served
from knet.api.objects import JSON, Meta
from knet.api.resources import STORED, Resource
from knet.client import ApiError, Client, NotFound


class _Item(msgspec.Struct):
    metadata: Meta


class _Items(msgspec.Struct):
    items: list[_Item] | None = None


_decoder = msgspec.json.Decoder(_Items)


@dataclass(frozen=True)
class Remaining:
    """What one round of deletion has left behind.

    ``objects``: how many, by group_resource.  ``finalizers``: how many objects wait for each finalizer.  ``grace``:
    the longest time (seconds) that a pod was given to end.  ``failures``: kinds that could not be emptied.
    """

    objects: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    grace: int = 0

    def __bool__(self) -> bool:
        return bool(self.objects or self.failures)


async def _rows(client: Client) -> list[Resource]:
    """All rows, those of custom kinds too: the server is asked, because a cache may not know the newest kind yet."""
    definitions = (await client.list(CustomResourceDefinition)).items
    return [*STORED, *(row for definition in definitions for row in served(definition)[:1])]


def kinds_within(rows: Iterable[Resource]) -> list[Resource]:
    """The namespaced kinds that can be deleted by collection."""
    return [row for row in rows if row.namespaced and "deletecollection" in row.verbs]


async def delete_all(client: Client, namespace: str) -> Remaining:
    """Delete all objects of a namespace and count what is still there afterwards. Kinds go side by side."""
    rounds = await asyncio.gather(*(_empty(client, row, namespace) for row in kinds_within(await _rows(client))))
    total = Remaining(grace=max((part.grace for part in rounds), default=0))
    for part in rounds:
        total.objects.update(part.objects)
        total.finalizers.update(part.finalizers)
        total.failures.extend(part.failures)
    return total


async def _empty(client: Client, row: Resource, namespace: str) -> Remaining:
    path = row.path(namespace)
    options: JSON = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    try:
        items = _decoder.decode(await client.raw("GET", path)).items
        if items:
            await client.raw("DELETE", path, options)
            items = _decoder.decode(await client.raw("GET", path)).items
    except NotFound:
        return Remaining()
    except ApiError as error:
        return Remaining(failures=[f"unexpected items still remain in namespace: {row.group_resource}: {error}"])
    metas = [item.metadata for item in items or ()]
    finalizers = Counter(name for meta in metas for name in meta.finalizers)
    grace = max((meta.deletionGracePeriodSeconds or 0 for meta in metas), default=0)
    return Remaining(Counter({row.group_resource: len(metas)}) if metas else Counter(), finalizers, [], grace)
