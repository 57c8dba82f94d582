"""The Node authorizer: a kubelet reads what the pods of its node need, and no more.

Upstream keeps a graph of nodes, pods and what they refer to.  Here the pods of each node are known by an index over
the stored records, and their references are read from them when somebody asks: a pod that is created costs one entry.

https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from knet.api.names import NODE_LEASE_NAMESPACE
from knet.apiserver.authorization.attributes import REFUSED, Attributes, Decision
from knet.apiserver.authorization.rules import Rule
from knet.apiserver.user import User
from knet.store import Object, Record

_ALLOWED = Decision(True)
_PREFIX, _GROUP = "system:node:", "system:nodes"
_READ = ("get", "list", "watch")
_OWN_WRITES = ("get", "create", "update", "patch", "delete")


def node_of(user: User) -> str | None:
    """The node whose kubelet a user is, "" for a kubelet of no node, None for everybody else."""
    if _GROUP not in user.groups:
        return None
    return user.name.removeprefix(_PREFIX) if user.name.startswith(_PREFIX) else ""


class References(NamedTuple):
    """Names of what a pod refers to, all in its namespace."""

    secrets: frozenset[str]
    configmaps: frozenset[str]
    persistentvolumeclaims: frozenset[str]


def references(name: str, spec: Object) -> References:
    """All that a pod makes its kubelet read."""
    secrets = {row.get("name", "") for row in spec.get("imagePullSecrets") or ()}
    configmaps: set[str] = set()
    claims: set[str] = set()
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for row in container.get("envFrom") or ():
                secrets.add(_at(row, "secretRef", "name"))
                configmaps.add(_at(row, "configMapRef", "name"))
            for row in container.get("env") or ():
                secrets.add(_at(row, "valueFrom", "secretKeyRef", "name"))
                configmaps.add(_at(row, "valueFrom", "configMapKeyRef", "name"))
    for volume in spec.get("volumes") or ():
        claims.add(_at(volume, "persistentVolumeClaim", "claimName"))
        if volume.get("ephemeral"):
            claims.add(f"{name}-{volume.get('name', '')}")
        secrets.add(_at(volume, "secret", "secretName"))
        configmaps.add(_at(volume, "configMap", "name"))
        for source in _at(volume, "projected", "sources") or ():
            secrets.add(_at(source, "secret", "name"))
            configmaps.add(_at(source, "configMap", "name"))
    return References(frozenset(secrets - {""}), frozenset(configmaps - {""}), frozenset(claims - {""}))


def _at(value: Object, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) or {}
    return value or ""


class PodsOfNodes:
    """Which pods are bound to which node, and what they refer to."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, Record]] = {}
        self._references: dict[str, tuple[int, References]] = {}

    def put(self, record: Record) -> None:
        """A pod is like this now."""
        if node := record.attributes.fields["spec.nodeName"]:
            self._nodes.setdefault(node, {})[record.key] = record

    def drop(self, record: Record) -> None:
        """It is gone."""
        pods = self._nodes.get(record.attributes.fields["spec.nodeName"], {})
        pods.pop(record.key, None)
        self._references.pop(record.key, None)

    def of(self, node: str, namespace: str) -> Iterator[Record]:
        """The pods of a node in a namespace."""
        for record in self._nodes.get(node, {}).values():
            if record.attributes.fields["metadata.namespace"] == namespace:
                yield record

    def references(self, node: str, namespace: str) -> Iterator[References]:
        """What the pods of a node in a namespace refer to."""
        for record in self.of(node, namespace):
            known = self._references.get(record.key)
            if known is None or known[0] != record.revision:
                name = record.attributes.fields["metadata.name"]
                known = self._references[record.key] = (record.revision, references(name, record.decode()["spec"]))
            yield known[1]


#: (namespace, name) of the claim that a volume is bound to, None where there is none
ClaimOf = Callable[[str], tuple[str, str] | None]


class NodeAuthorizer:
    """Decides for kubelets; has no opinion on anybody else."""

    def __init__(self, rules: Iterable[Rule], pods: PodsOfNodes, claim_of: ClaimOf) -> None:
        """``rules``: those of system:node, which hold for whatever is not subdivided here."""
        self._rules = tuple(rules)
        self._known: dict[tuple[str, ...], Decision] = {}
        self._pods = pods
        self._claim_of = claim_of

    def decide(self, wanted: Attributes) -> Decision:
        """Whether its node may do that; a refusal is no more than "no opinion"."""
        node = node_of(wanted.user)
        if node is None:
            return REFUSED
        if not node:
            return Decision(False, f'unknown node for user "{wanted.user.name}"')
        special = _SUBDIVIDED.get((wanted.group, wanted.resource))
        if special is not None:
            return special(self, node, wanted)
        return self._by_rules(wanted)

    def _by_rules(self, wanted: Attributes) -> Decision:
        """No rule of system:node has names, so an answer holds for all of them."""
        key = (wanted.verb, wanted.group, wanted.combined, wanted.path)
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 1024:  # a client chooses paths
                self._known.clear()
            known = self._known[key] = Decision(any(rule.allows(wanted) for rule in self._rules))
        return known

    # ---- what is subdivided ---------------------------------------------------------------------------------

    def _referred(self, node: str, wanted: Attributes) -> Decision:
        """A Secret or ConfigMap that a pod of the node refers to."""
        if wanted.verb not in _READ:
            return Decision(False, "can only read resources of this type")
        if wanted.subresource:
            return Decision(False, "cannot read subresource")
        if not wanted.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, wanted)

    def _claim(self, node: str, wanted: Attributes) -> Decision:
        if wanted.subresource == "status":
            if wanted.verb not in ("update", "patch"):
                return Decision(False, "can only get/update/patch this type")
            return self._related(node, wanted)
        return self._only_get(node, wanted)

    def _only_get(self, node: str, wanted: Attributes) -> Decision:
        if wanted.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if wanted.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, wanted)

    def _related(self, node: str, wanted: Attributes) -> Decision:
        if not wanted.name:
            return Decision(False, "No Object name found")
        namespace, name, resource = wanted.namespace, wanted.name, wanted.resource
        if resource == "persistentvolumes":
            namespace, name = self._claim_of(name) or ("", "")
            resource = "persistentvolumeclaims"
        if any(name in getattr(found, resource, ()) for found in self._pods.references(node, namespace)):
            return _ALLOWED
        return _unrelated(node)

    def _token(self, node: str, wanted: Attributes) -> Decision:
        """A token of an account that a pod of the node runs as."""
        if wanted.verb != "create" or not wanted.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if wanted.subresource != "token":
            return Decision(False, "can only create token subresource of serviceaccount")
        pods = self._pods.of(node, wanted.namespace)
        if any(record.attributes.fields["spec.serviceAccountName"] == wanted.name for record in pods):
            return _ALLOWED
        return _unrelated(node)

    def _node(self, node: str, wanted: Attributes) -> Decision:
        """Its own Node; what it changes there is for NodeRestriction to see."""
        if wanted.verb in _READ and not wanted.subresource:
            if wanted.name == node:
                return _ALLOWED
            whom = f"'{wanted.name}'" if wanted.name else "all nodes"
            return Decision(False, f"node '{node}' cannot read {whom}, only its own Node object")
        return self._by_rules(wanted)

    def _pod(self, node: str, wanted: Attributes) -> Decision:
        """Pods bound to it, one by one or by a field selector."""
        if wanted.subresource or wanted.verb not in _READ:
            return self._by_rules(wanted)
        if wanted.fields.get("spec.nodeName") == node and wanted.verb != "get":
            return _ALLOWED
        if wanted.name:
            pods = self._pods.of(node, wanted.namespace)
            named = any(record.attributes.fields["metadata.name"] == wanted.name for record in pods)
            return _ALLOWED if named else _unrelated(node)
        return Decision(False, f"can only list/watch pods with spec.nodeName field selector set to '{node}'")

    def _lease(self, node: str, wanted: Attributes) -> Decision:
        if wanted.verb not in _OWN_WRITES:
            return Decision(False, "can only get, create, update, patch, or delete a node lease")
        if wanted.namespace != NODE_LEASE_NAMESPACE:
            return Decision(False, f'can only access leases in the "{NODE_LEASE_NAMESPACE}" system namespace')
        # a create tells no name here: NodeRestriction sees the object
        if wanted.verb != "create" and wanted.name != node:
            return Decision(False, "can only access node lease with the same name as the requesting node")
        return _ALLOWED

    def _csi_node(self, node: str, wanted: Attributes) -> Decision:
        if wanted.verb not in _OWN_WRITES:
            return Decision(False, "can only get, create, update, patch, or delete a CSINode")
        if wanted.subresource:
            return Decision(False, "cannot authorize CSINode subresources")
        if wanted.verb != "create" and wanted.name != node:
            return Decision(False, "can only access CSINode with the same name as the requesting node")
        return _ALLOWED


def _unrelated(node: str) -> Decision:
    return Decision(False, f"no relationship found between node '{node}' and this object")


_SUBDIVIDED: dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Decision]] = {
    ("", "secrets"): NodeAuthorizer._referred,
    ("", "configmaps"): NodeAuthorizer._referred,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._only_get,
    ("", "serviceaccounts"): NodeAuthorizer._token,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
}
