"""Policy rules: what one allows, whether some cover others, and how they read.  Pure.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#role-and-clusterrole
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from knet.apiserver.authorization.attributes import Attributes
from knet.store import Object

ALL = "*"


class Rule(NamedTuple):
    """A rbac.authorization.k8s.io/v1 PolicyRule."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    #: no names: all of them
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def allows_some(self, wanted: Attributes) -> bool:
        """Whether it allows this, names apart."""
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if not wanted.resource:
            return any(_url_covers(url, wanted.path) for url in self.urls)
        if wanted.group not in self.groups and ALL not in self.groups:
            return False
        return _resource_covers(self.resources, wanted.combined, wanted.subresource)

    def allows(self, wanted: Attributes) -> bool:
        """Whether it allows this."""
        return self.allows_some(wanted) and (not self.names or wanted.name in self.names)

    def __str__(self) -> str:
        """As upstream writes it in errors: ``{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}``."""
        rows = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{title}:{quoted(values)}" for title, values in rows if values) + "}"

    def to_api(self) -> Object:
        """As it stands in a Role."""
        rows = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.urls,
        }
        return {key: list(values) for key, values in rows.items() if values}


def quoted(values: Iterable[str]) -> str:
    """Go's ``%q`` of a slice."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"


def rules_of(role: Object) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(
        Rule(
            tuple(row.get("verbs") or ()),
            tuple(row.get("apiGroups") or ()),
            tuple(row.get("resources") or ()),
            tuple(row.get("resourceNames") or ()),
            tuple(row.get("nonResourceURLs") or ()),
        )
        for row in role.get("rules") or ()
    )


def _resource_covers(resources: Sequence[str], combined: str, subresource: str) -> bool:
    if ALL in resources or combined in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def _url_covers(url: str, path: str) -> bool:
    return url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of ``wanted`` the ``owned`` do not give, in rules of one verb, resource and name each."""
    return [
        single for rule in wanted for single in _singles(rule) if not any(_covers(owner, single) for owner in owned)
    ]


def _singles(rule: Rule) -> Iterator[Rule]:
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                single = Rule((verb,), (group,), (resource,))
                yield from (single._replace(names=(name,)) for name in rule.names) if rule.names else (single,)
    for url in rule.urls:
        for verb in rule.verbs:
            yield Rule((verb,), urls=(url,))


def _covers(owner: Rule, single: Rule) -> bool:
    if ALL not in owner.verbs and single.verbs[0] not in owner.verbs:
        return False
    if single.urls:
        return any(_url_covers(url, single.urls[0]) for url in owner.urls)
    if ALL not in owner.groups and single.groups[0] not in owner.groups:
        return False
    if owner.names and not (single.names and single.names[0] in owner.names):
        return False
    return _resource_covers(owner.resources, single.resources[0], single.resources[0].partition("/")[2])


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Rules that differ in nothing but their one verb, as one."""
    verbs: dict[Rule, list[str]] = {}
    for rule in rules:
        known = verbs.setdefault(rule._replace(verbs=()) if not rule.urls else rule, [])
        known += [verb for verb in rule.verbs if verb not in known]
    return [rule._replace(verbs=tuple(found)) for rule, found in verbs.items()]
