"""Applying manifests: create what is missing, change what differs, remove what a manifest no longer says.

As ``kubectl apply``, which finds the same annotation and leaves it: whoever applies next may use either.
"""

from collections.abc import Container
from functools import cache

import orjson

from knet.api.definitions import load_definitions
from knet.api.names import LAST_APPLIED_ANNOTATION
from knet.api.objects import JSON
from knet.api.resources import Resource, by_kind
from knet.api.schema import Schema, Type
from knet.api.three_way import holds, three_way_patch
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
    if holds(live, annotated) or not (patch := three_way_patch(last, annotated, live, _type(row))):
        return UNCHANGED, live
    return CONFIGURED, orjson.loads(await client.raw("PATCH", path, patch, content_type=STRATEGIC, params=params))


@cache
def _type(row: Resource) -> Type:
    return Schema(load_definitions(), [(row.group, row.version, row.kind)]).type_of(row.group, row.version, row.kind)
