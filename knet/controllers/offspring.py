"""What every controller of pods shares: which pods are whose, and making and deleting them without counting twice.

ReplicaSet, Job, DaemonSet and StatefulSet differ in how many pods they want and in which order; that their pods carry
a controller reference, that orphans are adopted, that what was asked for and not yet seen is not asked for again
(`expectations`), and which Events tell of it, is the same for all and is here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, NamedTuple

from knet.api.objects import JSON, K, LabelSelector, Pod
from knet.api.selectors import from_label_selector
from knet.client import ApiError, Controller, Index, Key, NotFound, Unavailable, key_of
from knet.controllers.batch import all_at_once, slow_start
from knet.controllers.claims import claim, index_values, settle
from knet.controllers.context import Context
from knet.controllers.expectations import Expectations


class Failure(NamedTuple):
    """Pods could not be created (reason FailedCreate) or deleted (FailedDelete)."""

    reason: str
    error: ApiError | Unavailable


class Words(NamedTuple):
    """The messages of Events about one pod; they may name ``{pod}``, ``{owner}`` and ``{error}``."""

    created: str = "Created pod: {pod}"
    not_created: str = "Error creating: {error}"
    deleted: str = "Deleted pod: {pod}"
    not_deleted: str = "Error deleting: {error}"


class Offspring(Generic[K]):
    """The pods of all objects of one kind; ``selector_of`` reads an owner's selector.

    ``as_seen`` is all of a pod that the owner's pass looks at: a change of anything else wakes nobody.
    """

    def __init__(
        self,
        context: Context,
        owners: type[K],
        source: str,
        selector_of: Callable[[K], LabelSelector],
        as_seen: Callable[[Pod], object],
        words: Words = Words(),
    ) -> None:
        """``source`` is the component that Events name."""
        self._client = context.client
        self._kind = owners.resource.kind
        self._selector_of = selector_of
        self._as_seen = as_seen
        self._words = words
        self._owners = context.informers.of(owners)
        self._pods = context.informers.of(Pod)
        self._owners_in = Index(self._owners, lambda row: (row.namespace,))
        self._index = Index(self._pods, index_values)
        self._expectations = Expectations()
        #: owners whose last request for a pod got no answer: it may have been carried out all the same
        self._unsure: set[Key] = set()
        self.events = context.recorder(source)

    # ---- from changes to keys --------------------------------------------------------------------------------

    def subscribe(self, controller: Controller) -> None:
        """Let changes of owners and of their pods enqueue the owners' keys."""

        def owner_changed(old: K | None, new: K | None) -> None:
            changed = new or old
            assert changed is not None
            controller.enqueue(key_of(changed))

        def pod_changed(old: Pod | None, new: Pod | None) -> None:
            self._tick_off(old, new)
            if old is not None and new is not None and self._as_seen(old) == self._as_seen(new):
                return
            for key in {key for pod in (old, new) if pod is not None for key in self._keys_of(pod)}:
                controller.enqueue(key)

        self._owners.subscribe(owner_changed)
        self._pods.subscribe(pod_changed)

    def _tick_off(self, old: Pod | None, new: Pod | None) -> None:
        """Tell the expectations; a pod that is marked for deletion has left already (it may linger for its grace)."""
        pod = new or old
        assert pod is not None
        owner = pod.controller()
        if owner is None or owner.kind != self._kind:
            return
        key = Key(pod.namespace, owner.name)
        if old is None:
            self._expectations.creation_seen(key)
        if new is None or new.deleting:
            self._expectations.deletion_seen(key, pod.uid)

    def _keys_of(self, pod: Pod) -> list[Key]:
        """The owner that controls the pod, or for an orphan all that might adopt it."""
        owner = pod.controller()
        if owner is not None:
            holder = self._owners.get(pod.namespace, owner.name) if owner.kind == self._kind else None
            return [key_of(holder)] if holder is not None and holder.uid == owner.uid else []
        return [
            key_of(row)
            for row in self._owners_in.get(pod.namespace)
            if from_label_selector(self._selector_of(row)).matches(pod.metadata.labels)
        ]

    # ---- reading ---------------------------------------------------------------------------------------------

    def of(self, uid: str) -> list[Pod]:
        """All pods that an owner controls, finished ones too."""
        return self._index.get(("owner", uid))

    async def claimed(self, owner: K, among: Callable[[Pod], bool] = lambda _: True) -> list[Pod]:
        """The owner's pods, after adopting orphans that match and releasing its own that no longer do."""
        if key_of(owner) in self._unsure:
            await self._make_sure(owner)
        candidates = [*self._index.get(("owner", owner.uid)), *self._index.get(("orphan", owner.namespace))]
        claims = claim(owner, from_label_selector(self._selector_of(owner)), filter(among, candidates))
        return await settle(self._client, owner, claims, self._pods)

    async def _make_sure(self, owner: K) -> None:
        """Ask the server which pods there are: one that was killed in mid-answer may have stored what we asked for,
        and the cache learns of it only when its watch is back."""
        found = await self._client.list(Pod, owner.namespace)
        for pod in found.items:
            self._pods.assume(pod)
        self._unsure.discard(key_of(owner))

    def settled(self, key: Key) -> bool:
        """Whether the cache shows all that was asked for: before, counting would be counting the past."""
        return self._expectations.satisfied(key, _now())

    def forget(self, key: Key) -> None:
        """The owner is gone."""
        self._expectations.forget(key)
        self._unsure.discard(key)

    # ---- acting ----------------------------------------------------------------------------------------------

    async def create(self, key: Key, owner: K, bodies: Iterable[JSON]) -> Failure | None:
        """Make pods, in growing batches; the first refusal, unless it is that the namespace is going away."""
        waiting = list(bodies)
        queue = iter(waiting)

        async def create() -> None:
            await self._create_one(owner, next(queue))

        self._expectations.expect_creations(key, len(waiting), _now())
        outcome = await slow_start(len(waiting), create)
        self._expectations.creation_seen(key, len(waiting) - outcome.done)
        if isinstance(outcome.error, Unavailable):
            self._unsure.add(key)
        if outcome.error is None or namespace_terminating(outcome.error):
            return None
        return Failure("FailedCreate", outcome.error)

    async def _create_one(self, owner: K, body: JSON) -> None:
        try:
            pod = await self._client.create(Pod, body, owner.namespace)
        except (ApiError, Unavailable) as error:
            if not namespace_terminating(error):
                name = body["metadata"].get("name", "")
                self._tell(owner, "Warning", "FailedCreate", self._words.not_created, name, error)
            raise
        self._tell(owner, "Normal", "SuccessfulCreate", self._words.created, pod.name)

    async def delete(
        self, key: Key, owner: K, doomed: Iterable[Pod], first: Callable[[Pod], Awaitable[None]] | None = None
    ) -> Failure | None:
        """Delete pods, all at once; the first refusal.  ``first`` is done to each before (a finalizer removed)."""
        pods = list(doomed)
        self._expectations.expect_deletions(key, (pod.uid for pod in pods), _now())
        error = await all_at_once([self._delete_one(key, owner, pod, first) for pod in pods])
        return None if error is None else Failure("FailedDelete", error)

    async def _delete_one(self, key: Key, owner: K, pod: Pod, first: Callable[[Pod], Awaitable[None]] | None) -> None:
        try:
            if first is not None:
                await first(pod)
            await self._client.delete(Pod, pod.name, pod.namespace, uid=pod.uid)
        except NotFound:
            self._expectations.deletion_seen(key, pod.uid)
            return
        except (ApiError, Unavailable) as error:
            self._expectations.deletion_seen(key, pod.uid)
            self._tell(owner, "Warning", "FailedDelete", self._words.not_deleted, pod.name, error)
            raise
        self._tell(owner, "Normal", "SuccessfulDelete", self._words.deleted, pod.name)

    def _tell(self, owner: K, kind: str, reason: str, text: str, pod: str, error: Exception | None = None) -> None:
        self.events.event(owner, kind, reason, text.format(pod=pod, owner=owner.name, error=error))


def namespace_terminating(error: Exception) -> bool:
    """A namespace on its way out refuses new pods; that is no failure to tell of."""
    return isinstance(error, ApiError) and error.code == 403 and "because it is being terminated" in error.message


def _now() -> float:
    return asyncio.get_running_loop().time()
