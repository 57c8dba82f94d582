"""The objects that a policy is evaluated with: one that a binding names, or all that it selects."""

from knet.apiserver.admission.policy.compiled import Binding, Policy
from knet.apiserver.admission.request import Request, shared
from knet.apiserver.kind import Kind
from knet.apiserver.validation.selectors import selector_of
from knet.store import Object


class Misconfigured(Exception):
    """A policy or binding that cannot be followed; the message is upstream's."""


def parameter_kind(request: Request, policy: Policy) -> Kind | None:
    """The kind of a policy's parameters, if it has any; Misconfigured where nobody serves that."""
    if policy.parameters is None:
        return None
    version, name = policy.parameters
    for kind in request.context.kinds.values():
        if (kind.resource.api_version, kind.resource.kind) == (version, name) and "list" in kind.resource.verbs:
            return kind
    raise Misconfigured(f"failed to find resource referenced by paramKind: '{version}, Kind={name}'")


def parameters(request: Request, kind: Kind | None, binding: Binding) -> list[Object | None]:
    """What to evaluate a policy with, once each; [None] where it has no parameters.  Raises Misconfigured."""
    reference = binding.parameter
    if kind is None or reference is None:
        return [None]
    prefix = _prefix(request, kind, reference.get("namespace") or "")
    store = request.context.store
    found: list[Object | None]
    if name := reference.get("name"):
        record = store.get(prefix + name)
        found = [_shown(kind, shared(record))] if record else []
    else:
        selector = selector_of(reference.get("selector") or {})
        records = store.list(prefix).records
        found = [_shown(kind, shared(row)) for row in records if selector.matches(row.attributes.labels)]
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _prefix(request: Request, kind: Kind, namespace: str) -> str:
    """Where the parameters are in the store: in the namespace that is named, else in the request's."""
    if not kind.resource.namespaced:
        if namespace:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return kind.collection
    namespace = namespace or request.namespace
    if not namespace:
        why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        raise Misconfigured(why)
    return kind.prefix(namespace)


def _shown(kind: Kind, value: Object) -> Object:
    return value if kind.verbatim else kind.from_stored(dict(value))
