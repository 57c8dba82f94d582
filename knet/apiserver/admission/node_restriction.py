"""NodeRestriction: a kubelet changes its own Node, the pods bound to it, its lease, and asks for those pods' tokens.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from collections.abc import Callable

from knet.api.names import MIRROR_ANNOTATION, NODE_LEASE_NAMESPACE
from knet.api.resources import NODES, PODS, Resource
from knet.apiserver.admission.request import Request
from knet.apiserver.authorization.node import node_of, references
from knet.apiserver.status import not_found
from knet.store import Object

#: what it is asked about
RESOURCES = (
    "pods",
    "pods/*",
    "nodes",
    "nodes/*",
    "persistentvolumeclaims",
    "persistentvolumeclaims/*",
    "serviceaccounts/token",
    "leases.coordination.k8s.io",
    "csinodes.storage.k8s.io",
)
#: labels of kubernetes.io and k8s.io that a kubelet sets on its Node (k8s.io/kubelet/pkg/apis/well_known_labels.go)
_LABELS = frozenset(
    f"{prefix}{name}"
    for prefix, names in (
        ("kubernetes.io/", ("hostname", "os", "arch")),
        ("topology.kubernetes.io/", ("zone", "region")),
        ("failure-domain.beta.kubernetes.io/", ("zone", "region")),
        ("beta.kubernetes.io/", ("instance-type", "os", "arch")),
        ("node.kubernetes.io/", ("instance-type",)),
    )
    for name in names
)
_LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED = "node-restriction.kubernetes.io"


def validate(request: Request) -> None:
    """Raises StatusError 403, 404."""
    node = node_of(request.user)
    if node is None:
        return
    if not node:
        raise request.forbidden(f'could not determine node from user "{request.user.name}"')
    check = _CHECKS.get((request.resource.group, request.resource.plural))
    if check is not None and (why := check(request, node)):
        raise request.forbidden(why)


def _pod(request: Request, node: str) -> str:
    subresource, operation = request.target.subresource, request.operation
    if subresource == "status":
        return _pod_status(request, node)
    if subresource == "eviction":
        own = _pod_node(request, request.name) == node
        return "" if own else f"node {node} can only evict pods with spec.nodeName set to itself"
    if subresource:
        return f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed"
    if operation == "DELETE":
        own = (request.old or {}).get("spec", {}).get("nodeName") == node
        return "" if own else f'node "{node}" can only delete pods with spec.nodeName set to itself'
    if operation == "CREATE":
        return _mirror_pod(request, node)
    return f'unexpected operation "{operation}", node "{node}" can only create and delete mirror pods'


def _pod_status(request: Request, node: str) -> str:
    old = request.old or {}
    if old.get("spec", {}).get("nodeName") != node:
        return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
    if _labels(request.new) != _labels(old):
        return f'node "{node}" cannot update labels through pod status'
    return ""


def _mirror_pod(request: Request, node: str) -> str:
    """A static pod as the API shows it: of this node, and with nothing that would let its kubelet read more."""
    pod, spec = request.new, request.new["spec"]
    if MIRROR_ANNOTATION not in (pod["metadata"].get("annotations") or {}):
        return f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only create mirror pods'
    if spec.get("nodeName") != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    if not owner.get("controller"):
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owner.get("blockOwnerDeletion"):
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    uid = _found(request, NODES, "", node)["metadata"]["uid"]
    if owner.get("uid") != uid:
        return f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}"
    referred = references(request.name, spec)
    for what, given in (
        ("a service account", spec.get("serviceAccountName")),
        ("secrets", referred.secrets),
        ("configmaps", referred.configmaps),
        ("persistentvolumeclaims", referred.persistentvolumeclaims),
    ):
        if given:
            return f'node "{node}" can not create pods that reference {what}'
    return ""


def _node(request: Request, node: str) -> str:
    if request.name != node:
        return f'node "{node}" is not allowed to modify node "{request.name}"'
    if request.operation == "CREATE":
        if wrong := forbidden_labels(_labels(request.new), {}):
            return f'node "{node}" is not allowed to set the following labels: {", ".join(wrong)}'
    elif request.operation == "UPDATE":
        old = request.old or {}
        if (request.new.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
            return f'node "{node}" is not allowed to modify taints'
        if wrong := forbidden_labels(_labels(request.new), _labels(old)):
            return f"is not allowed to modify labels: {', '.join(wrong)}"
    return ""


def forbidden_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """Labels that a kubelet changed and may not: Kubernetes' own but for a few, and those kept from it by name."""
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return sorted(key for key in changed if not _may_label(key))


def _may_label(key: str) -> bool:
    namespace = key.partition("/")[0] if "/" in key else ""
    if _is_in(namespace, _RESTRICTED):
        return False
    if not (_is_in(namespace, "kubernetes.io") or _is_in(namespace, "k8s.io")):
        return True
    return key in _LABELS or any(_is_in(namespace, own) for own in _LABEL_NAMESPACES)


def _is_in(namespace: str, parent: str) -> bool:
    return namespace == parent or namespace.endswith(f".{parent}")


def _claim(request: Request, node: str) -> str:
    if request.target.subresource != "status":
        return "may only update PVC status"
    if _claim_but_status(request.new) != _claim_but_status(request.old or {}):
        return f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions'
    return ""


def _claim_but_status(value: Object) -> Object:
    metadata = {key: item for key, item in value["metadata"].items() if key not in ("resourceVersion", "managedFields")}
    status = {key: item for key, item in (value.get("status") or {}).items() if key not in _CLAIM_STATUS}
    return {**value, "metadata": metadata, "status": status}


_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


def _token(request: Request, node: str) -> str:
    if request.operation != "CREATE" or request.target.subresource != "token":
        return ""
    reference = (request.new.get("spec") or {}).get("boundObjectRef") or {}
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
        return "node requested token not bound to a pod"
    if not reference.get("uid"):
        return "node requested token with a pod binding without a uid"
    pod = _found(request, PODS, request.target.namespace, reference["name"])
    if pod["metadata"]["uid"] != reference["uid"]:
        return (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
            " The object might have been deleted and then recreated"
        )
    if pod["spec"].get("nodeName") != node:
        return "node requested token bound to a pod scheduled on a different node"
    return ""


def _lease(request: Request, node: str) -> str:
    if request.target.namespace != NODE_LEASE_NAMESPACE:
        return f'can only access leases in the "{NODE_LEASE_NAMESPACE}" system namespace'
    return "" if request.name == node else "can only access node lease with the same name as the requesting node"


def _csi_node(request: Request, node: str) -> str:
    return "" if request.name == node else "can only access CSINode with the same name as the requesting node"


def _pod_node(request: Request, name: str) -> str:
    return str(_found(request, PODS, request.target.namespace, name)["spec"].get("nodeName", ""))


def _found(request: Request, resource: Resource, namespace: str, name: str) -> Object:
    record = request.context.store.get(request.context.kinds[resource].key(namespace, name))
    if record is None:
        raise not_found(resource, name)
    return record.decode()


def _labels(value: Object) -> dict[str, str]:
    return value["metadata"].get("labels") or {}


_CHECKS: dict[tuple[str, str], Callable[[Request, str], str]] = {
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("", "persistentvolumeclaims"): _claim,
    ("", "serviceaccounts"): _token,
    ("coordination.k8s.io", "leases"): _lease,
    ("storage.k8s.io", "csinodes"): _csi_node,
}
