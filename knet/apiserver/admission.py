"""Admission: what upstream's compiled-in plugins change or refuse, after decoding and before validation.

NamespaceLifecycle, ServiceAccount and DefaultTolerationSeconds; each is a function of its plugin's name.
"""

from knet.api.names import NOT_READY_TAINT, SYSTEM_NAMESPACE, UNREACHABLE_TAINT
from knet.api.resources import NAMESPACES, PODS
from knet.apiserver.context import Context
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, forbidden, not_found
from knet.store import Object

#: may never be deleted
IMMORTAL_NAMESPACES = ("default", SYSTEM_NAMESPACE, "kube-public", "kube-node-lease")


def admit_create(context: Context, target: Target, value: Object) -> None:
    """Run all plugins on a new object; StatusError 403, 404."""
    namespace_lifecycle(context, target, value)
    if target.kind.resource is PODS:
        service_account(value)
        default_toleration_seconds(context, value)


def admit_update(context: Context, target: Target, value: Object, old: Object) -> None:
    """Run all plugins that watch over updates."""
    if target.kind.resource is PODS:
        default_toleration_seconds(context, value)


def namespace_lifecycle(context: Context, target: Target, value: Object) -> None:
    """Nothing is created where there is no namespace or where it is going away."""
    resource = target.kind.resource
    if not resource.namespaced:
        return
    record = context.store.get(context.kinds[NAMESPACES].key("", target.namespace))
    if record is None:
        raise not_found(NAMESPACES, target.namespace)
    if record.attributes.fields["status.phase"] != "Terminating":
        return
    name = value["metadata"].get("name", "")
    error = forbidden(
        resource,
        name,
        f"unable to create new content in namespace {target.namespace} because it is being terminated",
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {target.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    raise StatusError(error.code, error.reason, error.message, {**(error.details or {}), "causes": [cause]})


def refuse_deletion(target: Target) -> None:
    """NamespaceLifecycle's other half: some namespaces are there for good."""
    if target.kind.resource is NAMESPACES and target.name in IMMORTAL_NAMESPACES:
        raise forbidden(NAMESPACES, target.name, "this namespace may not be deleted")


def service_account(value: Object) -> None:
    """Pods that name no service account run as ``default``."""
    spec = value.get("spec")
    if spec is not None:
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def default_toleration_seconds(context: Context, value: Object) -> None:
    """Pods that do not say otherwise leave a lost node after a while."""
    spec = value.get("spec")
    if spec is None:
        return
    tolerations = spec.get("tolerations", [])
    for taint in (NOT_READY_TAINT, UNREACHABLE_TAINT):
        tolerated = any(
            row.get("key") in (taint, None, "") and row.get("effect") in ("NoExecute", None, "") for row in tolerations
        )
        if not tolerated:
            tolerations = [
                *tolerations,
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": context.timing.default_toleration,
                },
            ]
    if tolerations:
        spec["tolerations"] = tolerations
