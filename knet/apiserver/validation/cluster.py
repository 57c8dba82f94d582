"""Events and Leases (pkg/apis/core/validation, pkg/apis/coordination/validation)."""

from knet.apiserver import field
from knet.apiserver.field import AT_LEAST_0, Errors
from knet.store import Object


def validate_event(value: Object) -> Errors:
    """An Event lies in the namespace of what it is about (cluster-scoped: ``default``, or kube-system)."""
    namespace = value["metadata"].get("namespace", "")
    about = value.get("involvedObject", {}).get("namespace", "")
    if about == namespace or (not about and namespace in ("default", "kube-system")):
        return []
    return [field.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def validate_lease(value: Object) -> Errors:
    """Durations and counts of a Lease."""
    spec = value.get("spec", {})
    errors: Errors = []
    if "leaseDurationSeconds" in spec and spec["leaseDurationSeconds"] <= 0:
        errors.append(
            field.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
        )
    if spec.get("leaseTransitions", 0) < 0:
        errors.append(field.invalid("spec.leaseTransitions", spec["leaseTransitions"], AT_LEAST_0))
    return errors
