"""ControllerRevisions: the pod templates that a DaemonSet or StatefulSet has had, numbered, for going back.

A revision holds ``{"spec": {"template": …, "$patch": "replace"}}``, which ``kubectl rollout undo`` applies as it is.  A
template that comes back does not make a new revision: the old one gets the highest number.
upstream: pkg/controller/history
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple

from knet.api.objects import JSON, ControllerRevision, K, LabelSelector, owner_reference
from knet.api.selectors import from_label_selector
from knet.client import AlreadyExists, Index, NotFound
from knet.controllers.claims import claim, index_values, settle
from knet.controllers.context import Context
from knet.controllers.deployment.template import same_template, template_hash

#: on a revision and, by DaemonSets, on pods: the hash; by StatefulSets on pods: the revision's name
HASH_LABEL = "controller-revision-hash"


class History(NamedTuple):
    """``current`` is the revision of the present template; ``earlier`` all others, oldest first."""

    current: ControllerRevision
    earlier: list[ControllerRevision]
    #: to be written into the owner's status
    collisions: int | None

    @property
    def all(self) -> list[ControllerRevision]:
        return [*self.earlier, self.current]


def template_of(revision: ControllerRevision) -> JSON:
    """The pod template that a revision holds."""
    template: JSON = dict((revision.data.get("spec") or {}).get("template") or {})
    template.pop("$patch", None)
    return template


class Revisions(Generic[K]):
    """The revisions of all objects of one kind."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._informer = context.informers.of(ControllerRevision)
        self._index = Index(self._informer, index_values)

    async def sync(self, owner: K, selector: LabelSelector, template: JSON, collisions: int | None) -> History:
        """The history with the present template in it as the newest revision."""
        candidates = [*self._index.get(("owner", owner.uid)), *self._index.get(("orphan", owner.namespace))]
        claims = claim(owner, from_label_selector(selector), candidates)
        owned = await settle(self._client, owner, claims, self._informer)
        owned.sort(key=lambda row: (row.revision, row.metadata.creationTimestamp or "", row.name))
        alike = [row for row in owned if same_template(template_of(row), template)]
        newest = owned[-1].revision if owned else 0
        if not alike:
            current, collisions = await self._create(owner, template, newest + 1, collisions)
        else:
            current = alike[-1]
            if current.revision < newest:
                current = await self._renumber(current, newest + 1)
        return History(current, [row for row in owned if row.uid != current.uid], collisions)

    async def _create(
        self, owner: K, template: JSON, number: int, collisions: int | None
    ) -> tuple[ControllerRevision, int | None]:
        """A hash that is taken by another template is tried again with the count of collisions in it."""
        labels = (template.get("metadata") or {}).get("labels") or {}
        while True:
            name = f"{owner.name[:223]}-{(digest := template_hash(template, collisions))}"
            body = {
                "metadata": {
                    "name": name,
                    "labels": {**labels, HASH_LABEL: digest},
                    "ownerReferences": [owner_reference(owner)],
                },
                "data": {"spec": {"template": {**template, "$patch": "replace"}}},
                "revision": number,
            }
            try:
                made = await self._client.create(ControllerRevision, body, owner.namespace)
            except AlreadyExists:
                made = await self._client.get(ControllerRevision, name, owner.namespace)
                holder = made.controller()
                if holder is None or holder.uid != owner.uid or not same_template(template_of(made), template):
                    collisions = (collisions or 0) + 1
                    continue
            self._informer.assume(made)
            return made, collisions

    async def _renumber(self, row: ControllerRevision, number: int) -> ControllerRevision:
        written = await self._client.patch(ControllerRevision, row.name, {"revision": number}, row.namespace)
        self._informer.assume(written)
        return written

    async def truncate(self, history: History, live: Iterable[str], limit: int) -> None:
        """Delete the oldest revisions that no pod is of (``live``: their names) beyond the limit."""
        kept = {history.current.name, *live}
        idle = [row for row in history.earlier if row.name not in kept]
        for row in idle[: max(len(idle) - limit, 0)]:
            try:
                await self._client.delete(ControllerRevision, row.name, row.namespace, uid=row.uid)
            except NotFound:
                continue
