"""Which requests a webhook or an admission policy is asked about: rules, selectors, matchPolicy.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules

What depends on the kind only is decided once for each kind; a request is then held against selectors and names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from knet.api.resources import (
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    Resource,
)
from knet.api.selectors import EVERYTHING, Selector
from knet.apiserver.admission.request import Request
from knet.apiserver.kind import Kind
from knet.apiserver.status import not_found
from knet.apiserver.validation.selectors import selector_of
from knet.store import Object

#: no webhook and no policy is asked about these, so that a bad one can always be mended
EXEMPT = (
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A RuleWithOperations; ``names`` are those of a NamedRuleWithOperations, empty for any."""

    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]
    scope: str
    names: frozenset[str]

    def matches(self, resource: Resource, subresource: str, operation: str) -> bool:
        """Whether requests of a sort are meant; names aside."""
        return (
            (self.scope == "*" or (self.scope == "Namespaced") == resource.namespaced)
            and _has(self.operations, operation)
            and _has(self.groups, resource.group)
            and _has(self.versions, resource.version)
            and any(name in ("*", resource.plural) and sub in ("*", subresource) for name, sub in self.resources)
        )


def _has(names: frozenset[str], name: str) -> bool:
    return name in names or "*" in names


def rules_of(rows: Iterable[Object] | None) -> tuple[Rule, ...]:
    """The rules of a configuration, whose defaults are filled in."""
    return tuple(
        Rule(
            frozenset(row.get("operations") or ()),
            frozenset(row.get("apiGroups") or ()),
            frozenset(row.get("apiVersions") or ()),
            tuple(_split(name) for name in row.get("resources") or ()),
            row.get("scope") or "*",
            frozenset(row.get("resourceNames") or ()),
        )
        for row in rows or ()
    )


def _split(name: str) -> tuple[str, str]:
    resource, _, subresource = name.partition("/")
    return resource, subresource


@dataclass(frozen=True, slots=True)
class Candidate:
    """A form in which a sort of requests would be shown, for objects of these names (any, if empty)."""

    form: Kind
    names: frozenset[str]


class Criteria:
    """What a webhook's configuration, a policy or a binding says about the requests it is meant for.

    ``rules`` None means requests of every sort.
    """

    def __init__(
        self,
        rules: Sequence[Rule] | None,
        namespaces: Selector = EVERYTHING,
        objects: Selector = EVERYTHING,
        equivalent: bool = True,
        excluded: Sequence[Rule] = (),
    ) -> None:
        self._rules = rules
        self._excluded = excluded
        self._namespaces = namespaces
        self._objects = objects
        self._equivalent = equivalent
        self._known: dict[tuple[Kind, str, str], tuple[tuple[Candidate, ...], tuple[Candidate, ...]]] = {}

    def form(self, request: Request) -> Kind | None:
        """The kind in whose form the request is shown, None if it is not meant; StatusError 404 without a namespace."""
        key = request.asked, request.target.subresource, request.operation
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._candidates(request, self._excluded), self._candidates(request, self._rules)
        excluded, candidates = known
        if not candidates or _first(excluded, request) is not None:
            return None
        form = _first(candidates, request)
        if form is None or not self._selects_object(request) or not self._selects_namespace(request):
            return None
        return form

    def _candidates(self, request: Request, rules: Sequence[Rule] | None) -> tuple[Candidate, ...]:
        """Exact matches first, then, rule by rule, those of other versions of the same objects."""
        asked, subresource = request.asked, request.target.subresource
        if rules is None:
            return (Candidate(asked, frozenset()),)
        others = []
        if self._equivalent:
            others = [
                kind
                for kind in request.context.kinds.values()
                if kind is not asked
                and kind.collection == asked.collection
                and "create" in kind.resource.verbs
                and (not subresource or subresource in kind.resource.subresources)
            ]
        pairs = [(rule, asked) for rule in rules] + [(rule, kind) for rule in rules for kind in others]
        return tuple(
            Candidate(kind, rule.names)
            for rule, kind in pairs
            if rule.matches(kind.resource, subresource, request.operation)
        )

    def _selects_object(self, request: Request) -> bool:
        return not self._objects.requirements or any(
            value is not None and "metadata" in value and self._objects.matches(value["metadata"].get("labels") or {})
            for value in (request.value, request.old)
        )

    def _selects_namespace(self, request: Request) -> bool:
        if not self._namespaces.requirements or not request.namespace:
            return True
        if request.resource is NAMESPACES and not request.target.subresource and request.value is not None:
            return self._namespaces.matches(request.value["metadata"].get("labels") or {})
        record = request.context.store.get(request.context.kinds[NAMESPACES].key("", request.namespace))
        if record is None:
            raise not_found(NAMESPACES, request.namespace)
        return self._namespaces.matches(record.attributes.labels)


def _first(candidates: Sequence[Candidate], request: Request) -> Kind | None:
    for candidate in candidates:
        if not candidate.names or request.name in candidate.names:
            return candidate.form
    return None


def criteria_of(match: Object, rules: Sequence[Rule] | None, excluded: Sequence[Rule] = ()) -> Criteria:
    """The criteria of a webhook, of a policy's matchConstraints or of a binding's matchResources."""
    return Criteria(
        rules,
        _selector(match.get("namespaceSelector")),
        _selector(match.get("objectSelector")),
        match.get("matchPolicy") != "Exact",
        excluded,
    )


def _selector(selector: Object | None) -> Selector:
    return selector_of(selector) if selector else EVERYTHING
