"""`knet explain` and `knet rules`: what an object is or would become, and what machines hold of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import orjson

from knet.api.objects import JSON
from knet.client import ApiError, Client, NotFound, Unavailable
from knet.client.controller import Key
from knet.cluster.apply import proposed, resource_of
from knet.cluster.errors import KnetError
from knet.cluster.inspection import read_world
from knet.cluster.kernels import kernels, tables
from knet.cluster.operations import Target
from knet.cluster.state import StateDir
from knet.cluster.view import ControlView
from knet.inspect.explain.explain import Explanation, Subject, explain
from knet.inspect.explain.kernel import Kernel
from knet.inspect.explain.notes import WORKLOADS, notes, pods_of
from knet.inspect.explain.objects import find, settled, with_object, without_object
from knet.inspect.explain.picture import workers
from knet.inspect.inventory import nearest
from knet.inspect.rules.compare import Rules, rules_of
from knet.inspect.rules.facts import facts
from knet.inspect.world import World
from knet.kernel.conntrack import Tracked

Tables = dict[str, list[Tracked]]


@contextmanager
def in_a_line() -> Iterator[None]:
    """What the API server refuses, or that it does not answer, as KnetError."""
    try:
        yield
    except (ApiError, Unavailable) as error:
        raise KnetError(f"the API server: {' '.join(str(error).split())}") from None


async def explained(
    client: Client, state: StateDir, objects: Iterable[str], verb: str, manifests: list[JSON], namespace: str
) -> list[Explanation]:
    """See `knet.cluster.facade.Cluster.explain`."""
    targets = [target(word, namespace) for word in objects]
    with in_a_line(), closing(ControlView(state)) as view:
        world = await read_world(client, state)
        found, known = tables(world, view), {} if verb else kernels(world, view)
        if verb == "apply":
            return await applied(client, world, found, manifests, namespace)
        targets += [_target_of(manifest, namespace) for manifest in manifests]
        return await (deleted(client, world, found, targets) if verb else present(client, world, found, known, targets))


async def rules(
    client: Client, state: StateDir, objects: Iterable[str], machines: Sequence[str], namespace: str
) -> list[Rules]:
    """See `knet.cluster.facade.Cluster.rules`."""
    with in_a_line(), closing(ControlView(state)) as view:
        subjects = [await there(client, word, namespace) for word in objects]
        world = await read_world(client, state)
        found = kernels(world, view, machines)
    silent = () if machines else tuple(node for node in workers(world) if node not in found)
    return [rules_of(world, subject, found, silent) for subject in subjects]


def target(word: str, namespace: str) -> Target:
    """An object as people name it: ``svc/web``, ``kube-system/svc/kube-dns``."""
    parts = word.split("/")
    if len(parts) == 3:
        namespace = parts.pop(0)
    if len(parts) > 2:
        raise KnetError(f"{word!r} has a part too many: say KIND/NAME or NAMESPACE/KIND/NAME")
    return Target.parse("/".join(parts), namespace)


def _target_of(manifest: JSON, namespace: str) -> Target:
    row, meta = resource_of(manifest), manifest.get("metadata") or {}
    return Target(row, str(meta.get("name") or ""), str(meta.get("namespace") or namespace) if row.namespaced else "")


async def applied(
    client: Client, world: World, tables: Tables, manifests: Iterable[JSON], namespace: str
) -> list[Explanation]:
    """What each of these would change, one after the other; KnetError where the API server refuses one."""
    found, made = [], set[str]()
    for manifest in manifests:
        row = resource_of(manifest)
        try:
            verb, becomes = await proposed(client, manifest, namespace, made)
        except ApiError as error:
            name = (manifest.get("metadata") or {}).get("name") or "(without a name)"
            raise KnetError(f"{row.kind} {name}: the API server refuses it: {' '.join(str(error).split())}") from None
        meta = becomes["metadata"]
        subject = Subject(row.kind, Key(meta.get("namespace", ""), meta["name"]))
        if row.kind == "Namespace":
            made.add(meta["name"])
        after = settled(world, with_object(world, row.kind, becomes))
        said = notes(row.kind, manifest, becomes, after, verb == "created")
        found.append(explain(subject, verb, world, after, said, tables))
        world = after
    return found


async def deleted(client: Client, world: World, tables: Tables, targets: Iterable[Target]) -> list[Explanation]:
    """What each would change by going, one after the other; KnetError for what is not there."""
    found = []
    for target in targets:
        becomes = await _there(client, target)
        subject = Subject(target.row.kind, Key(target.namespace, target.name))
        after, said = _without(world, subject, becomes)
        found.append(explain(subject, "deleted", world, after, said, tables))
        world = after
    return found


async def present(
    client: Client, world: World, tables: Tables, kernels: Mapping[str, Kernel], targets: Iterable[Target]
) -> list[Explanation]:
    """What is there because of each, and where the kernels disagree."""
    found = []
    for target in targets:
        becomes = await _there(client, target)
        subject = Subject(target.row.kind, Key(target.namespace, target.name))
        before, _ = _without(world, subject, becomes)
        said = notes(subject.kind, becomes, becomes, world, False)
        found.append(explain(subject, "", before, world, [*said, *facts(world, subject, kernels, tables)]))
    return found


def _without(world: World, subject: Subject, becomes: JSON) -> tuple[World, list[str]]:
    """The world without an object, and what else is to be said of it."""
    after, said = world, list[str]()
    if subject.kind in WORKLOADS:
        pods = pods_of(becomes, world)
        for key in pods:
            after = without_object(after, "Pod", key)
        said.append(f"with its pods: {', '.join(map(str, pods)) or 'it has none'}")
    elif subject.kind == "Node":
        here = [str(key) for key, pod in world.pods.items() if pod.spec.nodeName == subject.key.name]
        if here:
            said.append(f"its pods are deleted as well, somewhat later: {', '.join(here)}")
        after = without_object(after, subject.kind, subject.key)
    else:
        after = without_object(after, subject.kind, subject.key)
        row = find(world, subject.kind, subject.key)
        controller = row.controller() if row else None
        if subject.kind == "Pod" and controller:
            said.append(f"its {controller.kind} {controller.name} makes another in its place")
    return settled(world, after), said


async def there(client: Client, word: str, namespace: str) -> Subject:
    """The object that a word means; KnetError where it is not there."""
    meant = target(word, namespace)
    await _there(client, meant)
    return Subject(meant.row.kind, Key(meant.namespace, meant.name))


async def _there(client: Client, target: Target) -> JSON:
    try:
        found: JSON = orjson.loads(await client.raw("GET", target.path))
    except NotFound:
        rows = orjson.loads(await client.raw("GET", target.row.path(target.namespace)))["items"]
        names = [row["metadata"]["name"] for row in rows]
        near = nearest(target.name, names)
        where = f" in namespace {target.namespace}" if target.namespace else ""
        hint = f"; did you mean {', '.join(near)}?" if near else f"; there are: {', '.join(names[:5]) or 'none'}"
        raise KnetError(f"there is no {target.row.singular} called {target.name!r}{where}{hint}") from None
    return found
