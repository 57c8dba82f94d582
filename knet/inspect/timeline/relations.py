"""What belongs to what: owners and owned, Services, their slices and the pods in those.  Learnt from objects, pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from knet.api.names import SERVICE_NAME_LABEL
from knet.api.resources import RESOURCES
from knet.errors import KnetError
from knet.inspect.inventory import nearest
from knet.inspect.timeline.changes import ref_of
from knet.inspect.timeline.event import Event, ref, short
from knet.inspect.timeline.facts import Facts

_KINDS = {
    alias: row
    for row in RESOURCES
    for alias in (row.plural, row.singular, row.kind, row.group_resource, *row.short_names)
}


def meant(text: str, namespace: str = "default") -> str:
    """The object that people mean by ``deployment/web``, ``svc/web``, ``kube-system/pod/coredns-x``; KnetError."""
    parts = text.split("/")
    if len(parts) == 3 and parts[0] not in _KINDS:
        namespace, *parts = parts
    elif len(parts) == 3:
        kind, namespace, name = parts
        parts = [kind, name]
    if len(parts) != 2 or not all(parts):
        raise KnetError(f"{text!r}: say KIND/NAME, such as deployment/web, or NAMESPACE/KIND/NAME")
    row = _KINDS.get(parts[0])
    if row is None:
        return ref(parts[0], "", parts[1])
    return ref(row.singular, namespace if row.namespaced else "", parts[1])


class Relations:
    """All that was ever so counts: a timeline tells of pods that are gone, too."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.facts = Facts()
        self._by_uid: dict[str, str] = {}
        self._owner: dict[str, str] = {}
        self._owned: defaultdict[str, set[str]] = defaultdict(set)
        self._service: dict[str, str] = {}
        self._slices: defaultdict[str, set[str]] = defaultdict(set)
        self._members: defaultdict[str, set[str]] = defaultdict(set)

    def learn(self, value: dict[str, Any]) -> None:
        """One more object, or another state of one."""
        metadata, name = value["metadata"], ref_of(value)
        self.names.add(name)
        self.facts.learn(value)
        self._by_uid[metadata["uid"]] = name
        for owner in metadata.get("ownerReferences") or ():
            self._owned[owner["uid"]].add(name)
            if owner.get("controller"):
                self._owner[name] = owner["uid"]
        if value.get("kind") == "EndpointSlice":
            self._learn_slice(name, value)

    def _learn_slice(self, name: str, value: dict[str, Any]) -> None:
        namespace = value["metadata"]["namespace"]
        if service := value["metadata"].get("labels", {}).get(SERVICE_NAME_LABEL):
            self._service[name] = ref("service", namespace, service)
            self._slices[ref("service", namespace, service)].add(name)
        for row in value.get("endpoints") or ():
            target = row.get("targetRef") or {}
            if target.get("kind") == "Pod":
                self._members[name].add(ref("pod", namespace, target["name"]))

    def check(self, name: str) -> None:
        """KnetError, with the nearest names, for an object that neither is there nor was."""
        if name in self.names:
            return
        kind, _, bare = name.rpartition("/")
        siblings = {row.removeprefix(f"{kind}/"): row for row in self.names if row.startswith(f"{kind}/")}
        near = [siblings[row] for row in nearest(bare, siblings)] or nearest(name, self.names)
        hint = f"; did you mean {', '.join(map(short, near))}?" if near else ""
        raise KnetError(f"there is no {short(name)}, nor was there one of late{hint}")

    # ---- selecting -----------------------------------------------------------------------------------------------

    def family(self, name: str) -> frozenset[str]:
        """An object with what belongs to it.

        Those that it owns and those that own it; of pods the slices they are in, and the Services of these; of a
        Service its slices and the pods in them; of a namespace everything in it.
        """
        if name.startswith("namespace/"):
            inside = f"/{name.removeprefix('namespace/')}/"
            return frozenset({name, *(row for row in self.names if inside in row)})
        found = {name, *self._below(name), *self._above(name)}
        for slice_ in self._slices.get(name, ()):
            found |= {slice_, *self._members[slice_]}
        if not name.startswith("service/"):
            for slice_, members in self._members.items():
                if members & found:
                    found |= {slice_, self._service.get(slice_, slice_)}
        return frozenset(found)

    def _below(self, name: str) -> set[str]:
        uids = defaultdict(set)
        for uid, row in self._by_uid.items():
            uids[row].add(uid)
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for uid in uids[waiting.pop()]:
                fresh = self._owned.get(uid, set()) - found
                found |= fresh
                waiting += fresh
        return found

    def _above(self, name: str) -> Iterable[str]:
        while (uid := self._owner.get(name)) and (owner := self._by_uid.get(uid)):
            yield owner
            name = owner


def selected(events: Iterable[Event], name: str, relations: Relations) -> list[Event]:
    """The events that concern an object or what belongs to it; of a node all that happened on its machine, too."""
    family = relations.family(name)
    node = name.removeprefix("node/") if name.startswith("node/") else ""
    return [
        row
        for row in events
        if not family.isdisjoint(row.objects) or (node and (row.machine == node or row.args[:1] == (node,)))
    ]
