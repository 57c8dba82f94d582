"""Scheduling gates: what may change in a Pod that waits behind some (KEP-3521, KEP-3838).

Gates are only ever removed. As long as there are any, whoever holds them may narrow down where the Pod will run.
"""

from knet.apiserver import field
from knet.apiserver.field import Errors
from knet.store import Object

_TERMS = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


def gated_and_placed(spec: Object) -> Errors:
    """A Pod that is on its node cannot wait."""
    if spec.get("schedulingGates") and spec.get("nodeName"):
        return [field.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")]
    return []


def gate_errors(spec: Object, before: Object) -> Errors:
    """Gates of an update that were not there before."""
    known = {row["name"] for row in before.get("schedulingGates", ())}
    return [
        field.forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{row['name']}'",
        )
        for index, row in enumerate(spec.get("schedulingGates", ()))
        if row["name"] not in known
    ]


def directive_errors(spec: Object, before: Object) -> Errors:
    """Changes of a gated Pod's placement that would widen it."""
    errors: Errors = []
    selector = spec.get("nodeSelector", {})
    if any(selector.get(key) != value for key, value in before.get("nodeSelector", {}).items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(field.invalid("spec.nodeSelector", selector, detail))
    old, new = _terms(before), _terms(spec)
    if not old:
        return errors
    if len(old) != len(new):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [*errors, field.invalid(f"spec.{_TERMS}", new, detail)]
    for index, (row, was) in enumerate(zip(new, old, strict=True)):
        if not _only_adds(row, was):
            detail = "only additions are allowed (no mutations or deletions)"
            errors.append(field.invalid(f"spec.{_TERMS}[{index}]", row, detail))
    return errors


def _terms(spec: Object) -> list[Object]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    found: list[Object] = required.get("nodeSelectorTerms") or []
    return found


def _only_adds(term: Object, was: Object) -> bool:
    """An empty term selects no node at all, so whatever is added to it would widen it."""
    parts = ("matchExpressions", "matchFields")
    if not any(was.get(part) for part in parts) and any(term.get(part) for part in parts):
        return False
    return all((term.get(part) or [])[: len(was.get(part) or [])] == (was.get(part) or []) for part in parts)


def without_directives(spec: Object) -> Object:
    """A spec without what a gated Pod may change."""
    affinity = {key: item for key, item in (spec.get("affinity") or {}).items() if key != "nodeAffinity"}
    rest = {key: item for key, item in spec.items() if key not in ("affinity", "nodeSelector")}
    return {**rest, "affinity": affinity} if affinity else rest
