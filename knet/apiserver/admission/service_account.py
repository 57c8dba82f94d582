"""ServiceAccount: every Pod runs as an account that exists, and carries its token unless one of both declines.

https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from collections.abc import Iterator, Mapping
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
#: an account with this annotation lets its Pods use the secrets that it lists, and no others
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
#: Go's strconv.ParseBool
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
#: the containers of a new Pod, and those that are added later, as messages call them
_ALL = {"initContainers": "init container", "containers": "container"}
_FEW = {"ephemeralContainers": "ephemeral container"}


def admit(request: Request) -> None:
    """Name the account and mount its token; StatusError 403 where there is no such account."""
    spec = request.new.get("spec")
    if spec is None or MIRROR_ANNOTATION in (request.new["metadata"].get("annotations") or {}):
        return
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = _account_of(request, name)
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)
    if (secrets := account.get("imagePullSecrets")) and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(row) for row in secrets]


def _account_of(request: Request, name: str) -> Object:
    """The stored account, which is shared; StatusError 403 where there is none."""
    namespace = request.target.namespace
    account = request.find(SERVICEACCOUNTS, name, namespace)
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise request.forbidden(why)
    return account


def validate(request: Request) -> None:
    """An account that enforces mountable secrets allows its Pods no others, and a mirror Pod has none; 403."""
    pod, spec = request.new, request.new.get("spec") or {}
    if MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {}):
        if why := _too_much_for_a_mirror(spec):
            raise request.forbidden(why)
        return
    account = _account_of(request, spec.get("serviceAccountName") or "")
    if (account["metadata"].get("annotations") or {}).get(_ENFORCE) not in _TRUE:
        return
    containers = _FEW if request.target.subresource else _ALL
    for kind, name, where in _secrets(spec, containers):
        allowed = account.get("imagePullSecrets" if kind == "imagePullSecret" else "secrets") or ()
        if all(row.get("name") != name for row in allowed):
            by = f"service account {account['metadata']['name']} does not reference that {kind}"
            raise request.forbidden(f"{where} is not allowed because {by}")


def _too_much_for_a_mirror(spec: Object) -> str:
    """What the Pod that shows a static one may not have, as no account stands for it."""
    if spec.get("serviceAccountName"):
        return "a mirror pod may not reference service accounts"
    projections = [volume.get("projected") or {} for volume in spec.get("volumes") or ()]
    sources = [row for projection in projections for row in projection.get("sources") or ()]
    if any(_secrets(spec, _ALL)) or any("secret" in row for row in sources):
        return "a mirror pod may not reference secrets"
    if any("serviceAccountToken" in row for row in sources):
        return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _secrets(spec: Object, containers: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Secrets that a Pod names: as what (secret, imagePullSecret), their names, and where as messages tell it."""
    if containers is _ALL:
        for volume in spec.get("volumes") or ():
            if name := (volume.get("secret") or {}).get("secretName"):
                yield "secret", name, f'volume with secret.secretName="{name}"'
    for key, word in containers.items():
        for container in spec.get(key) or ():
            who = f"{word} {container.get('name', '')}"
            for row in container.get("env") or ():
                if name := ((row.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name"):
                    yield "secret", name, f'{who} with envVar {row.get("name")} referencing secret.secretName="{name}"'
            for row in container.get("envFrom") or ():
                if name := (row.get("secretRef") or {}).get("name"):
                    yield "secret", name, f'{who} with envFrom referencing secret.secretName="{name}"'
    if containers is _ALL:
        for index, row in enumerate(spec.get("imagePullSecrets") or ()):
            yield "imagePullSecret", row.get("name", ""), f'imagePullSecrets[{index}].name="{row.get("name", "")}"'


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
