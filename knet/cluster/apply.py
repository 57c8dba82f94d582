"""Applying manifests: create what is missing, change what differs, remove what a manifest no longer says.

The three-way merge of ``kubectl apply``: what the last manifest had and this one lacks is taken out, all else is
left to whoever set it.  https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/
"""

from collections.abc import Container
from typing import Any

import orjson

from knet.api.names import LAST_APPLIED_ANNOTATION
from knet.api.objects import JSON
from knet.api.resources import Resource, by_kind
from knet.client import ApiError, Client, NotFound
from knet.client.client import STRATEGIC
from knet.cluster.errors import KnetError


def resource_of(manifest: JSON) -> Resource:
    """The registry row of a manifest; KnetError where it is none, or of a kind knet does not serve."""
    version, kind = str(manifest.get("apiVersion") or ""), str(manifest.get("kind") or "")
    if not version or not kind:
        raise KnetError("a manifest needs apiVersion and kind")
    row = by_kind(version, kind)
    if row is None:
        raise KnetError(f'no matches for kind "{kind}" in version "{version}"')
    if not isinstance(meta := manifest.get("metadata") or {}, dict) or not meta.get("name"):
        raise KnetError(f"{kind}: a manifest needs metadata.name")
    return row


def removals(last: Any, now: Any) -> JSON:
    """A merge patch that deletes (null) every map key that ``last`` had and ``now`` has not."""
    patch: JSON = {}
    for key, value in last.items():
        if key not in now:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(now[key], dict) and (nested := removals(value, now[key])):
            patch[key] = nested
    return patch


def delta(live: Any, wanted: Any) -> JSON:
    """What of ``wanted`` is not so in ``live``: maps key by key, a list whole.

    A list counts as so if its items are, in this order, whatever else (defaults) the live ones have.  Only what differs
    may be sent: a strategic merge of ports goes by number, and would mix 53/UDP up with 53/TCP.
    """
    patch: JSON = {}
    for key, value in wanted.items():
        there = live.get(key)
        if key not in live or not _holds(there, value):
            patch[key] = delta(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return patch


def _holds(live: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(key in live and _holds(live[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(there, item) for there, item in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)


#: lists whose elements a strategic merge finds by one of these fields, as far as manifests take elements out of them
_MERGE_KEYS = {
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    **dict.fromkeys(("containers", "initContainers", "volumes", "env", "imagePullSecrets"), ("name",)),
}


def without_elements(patch: JSON, last: Any, now: Any) -> JSON:
    """A strategic merge patch that also deletes the elements of lists that ``last`` had and ``now`` has not.

    Of lists that are in the patch, for only those are different.
    """
    found = dict(patch)
    for key, value in patch.items():
        old, new = (row.get(key) if isinstance(row, dict) else None for row in (last, now))
        if isinstance(value, dict):
            found[key] = without_elements(value, old, new)
        elif isinstance(value, list) and isinstance(old, list) and isinstance(new, list):
            gone = [{"$patch": "delete", **row} for row in _keys(key, old) if row not in _keys(key, new)]
            found[key] = [*value, *gone]
    return found


def _keys(name: str, rows: list[Any]) -> list[JSON]:
    """By what a merge finds these elements of a list of that name."""
    fields = [next((field for field in _MERGE_KEYS.get(name, ()) if field in row), "") for row in rows]
    return [{field: row[field]} for field, row in zip(fields, rows, strict=True) if field]


def overlay(base: JSON, extra: JSON) -> JSON:
    """``base`` with ``extra`` laid over it, maps merged, anything else replaced."""
    merged = dict(base)
    for key, value in extra.items():
        known = merged.get(key)
        merged[key] = overlay(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


CREATED, CONFIGURED, UNCHANGED = "created", "configured", "unchanged"
_DRY_RUN = {"dryRun": "All"}


async def apply(client: Client, manifest: JSON, default_namespace: str = "default") -> str:
    """Make one object be as its manifest says: "created", "configured" or "unchanged"."""
    return (await _apply(client, manifest, default_namespace))[0]


async def proposed(
    client: Client, manifest: JSON, default_namespace: str = "default", made: Container[str] = ()
) -> tuple[str, JSON]:
    """What `apply` would do, and the object that would come of it: the API server is asked, and does nothing.

    ``made`` are namespaces that are not there yet, but will be: what goes there is tried in the namespace default.
    """
    meta = manifest.get("metadata") or {}
    namespace = str(meta.get("namespace") or default_namespace)
    if not resource_of(manifest).namespaced or namespace not in made:
        return await _apply(client, manifest, default_namespace, _DRY_RUN)
    name, stand_in = str(meta["name"]), f"{str(meta['name'])[:40]}-new"
    trial = overlay(manifest, {"metadata": {"namespace": "default", "name": stand_in}})
    try:
        _, becomes = await _apply(client, trial, "default", _DRY_RUN)
    except ApiError as error:
        raise ApiError(error.code, error.reason, error.message.replace(stand_in, name)) from None
    return CREATED, overlay(becomes, {"metadata": {"namespace": namespace, "name": name}})


async def _apply(
    client: Client, manifest: JSON, default_namespace: str, params: dict[str, str] | None = None
) -> tuple[str, JSON]:
    row = resource_of(manifest)
    meta = manifest.get("metadata") or {}
    namespace = str(meta.get("namespace") or default_namespace) if row.namespaced else ""
    written = orjson.dumps(manifest).decode()
    annotated = overlay(manifest, {"metadata": {"annotations": {LAST_APPLIED_ANNOTATION: written}}})
    path = row.path(namespace, str(meta.get("name") or ""))
    try:
        live = orjson.loads(await client.raw("GET", path))
    except NotFound:
        return CREATED, orjson.loads(await client.raw("POST", row.path(namespace), annotated, params=params))
    last = orjson.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED_ANNOTATION, "{}"))
    patch = overlay(removals(last, manifest), delta(live, annotated))
    if not patch:
        return UNCHANGED, live
    patch = without_elements(patch, last, manifest)
    return CONFIGURED, orjson.loads(await client.raw("PATCH", path, patch, content_type=STRATEGIC, params=params))
