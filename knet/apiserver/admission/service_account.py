"""ServiceAccount: every Pod runs as an account that exists, and carries its token unless one of both declines.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from random import choices

from knet.api.names import MIRROR_ANNOTATION
from knet.api.resources import SERVICEACCOUNTS
from knet.apiserver.admission.request import Request
from knet.apiserver.context import NAME_ALPHABET
from knet.store import Object

_TOKEN_VOLUME = "kube-api-access-"
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
#: an hour and seven seconds: upstream's mark for tokens that the admission plugin asked for
_TOKEN_SECONDS = 3607


def admit(request: Request) -> None:
    """Name the account and mount its token; StatusError 403 where there is no such account."""
    spec = request.new.get("spec")
    if spec is None or MIRROR_ANNOTATION in (request.new["metadata"].get("annotations") or {}):
        return
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    context, namespace = request.context, request.target.namespace
    record = context.store.get(context.kinds[SERVICEACCOUNTS].key(namespace, name))
    if record is None:
        raise request.forbidden(
            f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
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
