"""From client-side to server-side apply: the annotation that ``kubectl apply`` keeps its last configuration in.

What ``kubectl apply --server-side`` finds applied by the annotation, and unchanged since, is no conflict, though its
owner is ``kubectl-client-side-apply``; and it keeps the annotation up to date, so that the way back stays open.
"""

from typing import Any

import orjson

from knet.api.fields.elements import NoElement
from knet.api.fields.managers import Conflicts, Managed, Merged, Write, apply, tracked
from knet.api.fields.merging import NotTyped, check
from knet.api.fields.reading import applied, compare
from knet.api.fields.sets import NOTHING, Fields, difference, has
from knet.api.names import LAST_APPLIED_ANNOTATION

#: whose applies mind the annotation
KUBECTL = "kubectl"
#: upstream's limit on all annotations of an object; what does not fit is left out
_ANNOTATIONS_LIMIT = 256 * 1024


def apply_as_kubectl(
    managed: Managed, write: Write, live: dict[str, Any], config: dict[str, Any], force: bool
) -> Merged:
    """`managers.apply`, which for the manager ``kubectl`` also minds the annotation.  Raises Conflicts."""
    if write.manager != KUBECTL:
        return apply(managed, write, live, config, force)
    try:
        merged = apply(managed, write, live, config, force)
    except Conflicts as conflicts:
        allowed = _last_applied(write, live)
        left = [(manager, path) for manager, path in conflicts.rows if not has(allowed, *path)]
        if left:
            raise Conflicts(left) from None
        merged = apply(managed, write, live, config, True)
    annotations = (merged.value.get("metadata") or {}).get("annotations") or {}
    if annotations.get(LAST_APPLIED_ANNOTATION):
        annotations = {**annotations, LAST_APPLIED_ANNOTATION: _annotation(config)}
        if sum(len(key) + len(text) for key, text in annotations.items()) > _ANNOTATIONS_LIMIT:
            del annotations[LAST_APPLIED_ANNOTATION]
        merged.value["metadata"] = {**merged.value["metadata"], "annotations": annotations}
    return merged


def _last_applied(write: Write, live: dict[str, Any]) -> Fields:
    """The fields of the last configuration that the object still has as it said."""
    text = (live.get("metadata") or {}).get("annotations", {}).get(LAST_APPLIED_ANNOTATION, "")
    try:
        config = orjson.loads(text or "null")
        if not isinstance(config, dict) or config.get("apiVersion") != write.version:
            return NOTHING
        check(write.type, config)
        config = tracked(config, frozenset())
        fields = applied(write.type, config) or NOTHING
        for differing in compare(write.type, config, tracked(live, frozenset())):
            fields = difference(fields, differing)
        return fields
    except (orjson.JSONDecodeError, NotTyped, NoElement):
        return NOTHING


def _annotation(config: dict[str, Any]) -> str:
    metadata = dict(config.get("metadata") or {})
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {key: item for key, item in annotations.items() if key != LAST_APPLIED_ANNOTATION}
    plain = {**config, "metadata": metadata}
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS).decode() + "\n"
