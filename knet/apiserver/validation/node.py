"""Nodes (pkg/apis/core/validation)."""

from knet.api.families import family_of
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.store import Object

_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def validate_node(value: Object) -> Errors:
    """A Node's taints and pod networks."""
    errors: Errors = []
    spec = value.get("spec", {})
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints", ())):
        here = f"spec.taints[{index}]"
        if wrong := formats.qualified_name(taint.get("key", "")):
            errors.append(field.invalid(f"{here}.key", taint.get("key", ""), wrong))
        if wrong := formats.label_value(taint.get("value", "")):
            errors.append(field.invalid(f"{here}.value", taint["value"], wrong))
        if taint.get("effect") not in _EFFECTS:
            errors.append(field.not_supported(f"{here}.effect", taint.get("effect", ""), _EFFECTS))
        pair = taint.get("key", ""), taint.get("effect", "")
        if pair in seen:
            errors.append(field.duplicate(here, field.Go(f'core.Taint{{Key:"{pair[0]}", Effect:"{pair[1]}"}}')))
        seen.add(pair)
    cidrs = spec.get("podCIDRs", ())
    for index, cidr in enumerate(cidrs):
        if wrong := formats.cidr(cidr):
            errors.append(field.invalid(f"spec.podCIDRs[{index}]", cidr, wrong))
    if len({family_of(cidr) for cidr in cidrs}) != len(cidrs):
        errors.append(field.invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family"))
    return errors


def validate_node_update(value: Object, old: Object) -> Errors:
    """Pod networks are given once; the rest of a Node's spec but taints and unschedulable is fixed."""
    spec, before = value.get("spec", {}), old.get("spec", {})
    errors: Errors = []
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        errors.append(field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        errors.append(
            field.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
        )
    return errors
