"""Audit policies: the first rule that matches a request says how much of it is told.

https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Policy
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from knet.apiserver.authorization import Attributes

Level = Literal["None", "Metadata", "Request", "RequestResponse"]
Stage = Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a policy file, with upstream's names."""


class GroupResources(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resourceNames: tuple[str, ...] = ()

    def matches(self, wanted: Attributes) -> bool:
        """Whether a request is for one of these."""
        if self.group not in (wanted.group, "*"):
            return False
        if not self.resources:
            return True
        if self.resourceNames and wanted.name not in self.resourceNames:
            return False
        meant = {"*", wanted.combined, f"{wanted.resource}/*"}
        if wanted.subresource:
            meant.add(f"*/{wanted.subresource}")
        return not meant.isdisjoint(self.resources)


class PolicyRule(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is given has to match; nothing given matches everything."""

    level: Level
    users: tuple[str, ...] = ()
    userGroups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    #: "" is whatever has none
    namespaces: tuple[str, ...] = ()
    nonResourceURLs: tuple[str, ...] = ()
    omitStages: tuple[Stage, ...] = ()
    omitManagedFields: bool | None = None

    def matches(self, wanted: Attributes) -> bool:
        """Whether it is for this request, of the user who asks, whoever he acts as."""
        if self.users and wanted.user.name not in self.users:
            return False
        if self.userGroups and set(self.userGroups).isdisjoint(wanted.user.groups):
            return False
        if self.verbs and wanted.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not wanted.resource or (self.namespaces and wanted.namespace not in self.namespaces):
                return False
            return not self.resources or any(row.matches(wanted) for row in self.resources)
        if self.nonResourceURLs:
            return not wanted.resource and any(_covers(url, wanted.path) for url in self.nonResourceURLs)
        return True

    def faults(self) -> Iterator[str]:
        """What types do not tell, in upstream's words."""
        for index, url in enumerate(self.nonResourceURLs):
            if url != "*" and not url.startswith("/"):
                yield f"nonResourceURLs[{index}]: {url!r}: non-resource URL rules must begin with a '/' character"
            if "*" in url[:-1]:
                yield (
                    f"nonResourceURLs[{index}]: {url!r}: non-resource URL wildcards '*' must be the final character of"
                    " the rule"
                )
        if any(row.resourceNames and not row.resources for row in self.resources):
            yield "resources.resourceNames: using resourceNames requires at least one resource"
        if any("/" in row.group for row in self.resources):
            yield "resources.group: a group has no version"
        if self.nonResourceURLs and (self.resources or self.namespaces):
            yield "nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs"


def _covers(url: str, path: str) -> bool:
    return url == path or (url.endswith("*") and path.startswith(url.rstrip("*")))


class Telling(NamedTuple):
    """How much is told of a request."""

    level: Level
    omitted: frozenset[str] = frozenset()
    without_managed_fields: bool = False

    @property
    def bodies(self) -> tuple[bool, bool]:
        """Whether what was sent is told, and whether what was answered is."""
        return self.level in ("Request", "RequestResponse"), self.level == "RequestResponse"


_NOTHING = Telling("None")


class Policy(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    apiVersion: Literal["audit.k8s.io/v1"]
    kind: Literal["Policy"]
    metadata: dict[str, Any] = {}
    rules: tuple[PolicyRule, ...]
    omitStages: tuple[Stage, ...] = ()
    omitManagedFields: bool = False

    def telling(self, wanted: Attributes) -> Telling:
        """What its first rule that matches says; nothing is told of what no rule is for."""
        for rule in self.rules:
            if rule.matches(wanted):
                omits = rule.omitManagedFields
                return Telling(
                    rule.level,
                    frozenset((*self.omitStages, *rule.omitStages)),
                    self.omitManagedFields if omits is None else omits,
                )
        return _NOTHING


#: where a log is asked for without a policy: one line for each request, two for those that last
DEFAULT = Policy(
    apiVersion="audit.k8s.io/v1",
    kind="Policy",
    rules=(PolicyRule(level="Metadata"),),
    omitStages=("RequestReceived",),
)


def parse(text: str) -> Policy:
    """The policy in a file's YAML; ValueError says what is wrong with it."""
    try:
        policy = msgspec.convert(yaml.safe_load(text), Policy)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if not policy.rules:
        raise ValueError("loaded illegal policy with 0 rules")
    for index, rule in enumerate(policy.rules):
        for fault in rule.faults():
            raise ValueError(f"rules[{index}].{fault}")
    return policy
