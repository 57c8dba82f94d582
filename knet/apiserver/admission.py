"""Admission: what upstream's compiled-in plugins change or refuse, after decoding and before validation.

NamespaceLifecycle, ServiceAccount and DefaultTolerationSeconds; each is a function of its plugin's name.
"""

from random import choices

from knet.api.names import NOT_READY_TAINT, SYSTEM_NAMESPACE, UNREACHABLE_TAINT
from knet.api.resources import NAMESPACES, PODS, SERVICEACCOUNTS
from knet.apiserver.context import NAME_ALPHABET, Context
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, forbidden, not_found
from knet.store import Object

#: may never be deleted
IMMORTAL_NAMESPACES = ("default", SYSTEM_NAMESPACE, "kube-public", "kube-node-lease")

_TOKEN_VOLUME = "kube-api-access-"
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
#: an hour and seven seconds: upstream's mark for tokens that the admission plugin asked for
_TOKEN_SECONDS = 3607


def admit_create(context: Context, target: Target, value: Object) -> None:
    """Run all plugins on a new object; StatusError 403, 404."""
    namespace_lifecycle(context, target, value)
    if target.kind.resource is PODS:
        service_account(context, target, value)
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


def service_account(context: Context, target: Target, value: Object) -> None:
    """Every Pod runs as an account that exists, and carries its token unless one of both declines.

    https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
    """
    spec = value.get("spec")
    if spec is None:
        return
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    record = context.store.get(context.kinds[SERVICEACCOUNTS].key(target.namespace, name))
    if record is None:
        raise forbidden(
            PODS,
            value["metadata"].get("name", ""),
            f'error looking up service account {target.namespace}/{name}: serviceaccount "{name}" not found',
        )
    account = record.decode()
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)
    if secrets := account.get("imagePullSecrets"):
        spec.setdefault("imagePullSecrets", secrets)


def _mount_token(spec: Object) -> None:
    """A projected volume with token, CA and namespace, for the containers that have nothing at that path yet."""
    name = next((row["name"] for row in spec.get("volumes", ()) if row.get("name", "").startswith(_TOKEN_VOLUME)), "")
    needed = False
    generated = name or _TOKEN_VOLUME + "".join(choices(NAME_ALPHABET, k=5))
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        mounts = container.get("volumeMounts", [])
        if all(mount.get("mountPath") != _TOKEN_PATH for mount in mounts):
            mount = {"name": generated, "readOnly": True, "mountPath": _TOKEN_PATH}
            container["volumeMounts"] = [*mounts, mount]
            needed = True
    if needed and not name:
        spec["volumes"] = [*spec.get("volumes", []), _token_volume(generated)]


def _token_volume(name: str) -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 420,
        },
    }


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
