"""RBAC over the stored Roles, ClusterRoles and their bindings.

A `Policy` is what the four collections say.  A decision is made once for each user, verb, resource and namespace, and
kept until any of the four changes; names matter only where a rule names some, so they are no part of what is kept.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from knet.apiserver.authorization.attributes import REFUSED, Attributes, Decision
from knet.apiserver.authorization.rules import Rule, rules_of
from knet.apiserver.user import User
from knet.store import Object

GROUP = "rbac.authorization.k8s.io"

#: users remembered at most, and answers for each: a client can ask under any namespace and, impersonating, as anybody
_USERS, _ANSWERS = 4096, 4096


class Subject(NamedTuple):
    kind: str
    name: str
    namespace: str

    def is_user(self, user: User, namespace: str) -> bool:
        """Whether it means this user; an account without namespace is of the binding's."""
        if self.kind == "User":
            return user.name == self.name
        if self.kind == "Group":
            return self.name in user.groups
        account = self.namespace or namespace
        return bool(account) and user.name == f"system:serviceaccount:{account}:{self.name}"

    def described(self, namespace: str) -> str:
        """As upstream describes it: an account as NAME/NAMESPACE."""
        name = f"{self.name}/{self.namespace or namespace}" if self.kind == "ServiceAccount" else self.name
        return f'{self.kind} "{name}"'


class Binding(NamedTuple):
    """A RoleBinding, or with no namespace a ClusterRoleBinding."""

    namespace: str
    name: str
    role_kind: str
    role: str
    subjects: tuple[Subject, ...]

    def reason(self, subject: Subject) -> str:
        """Why something was allowed."""
        kind, name = (
            ("RoleBinding", f"{self.name}/{self.namespace}") if self.namespace else (_CLUSTER_BINDING, self.name)
        )
        whom = subject.described(self.namespace)
        return f'RBAC: allowed by {kind} "{name}" of {self.role_kind} "{self.role}" to {whom}'


_CLUSTER_BINDING = "ClusterRoleBinding"


def binding_of(value: Object) -> Binding:
    """A stored RoleBinding or ClusterRoleBinding."""
    metadata, reference = value["metadata"], value["roleRef"]
    subjects = tuple(
        Subject(row.get("kind", ""), row.get("name", ""), row.get("namespace", ""))
        for row in value.get("subjects") or ()
    )
    return Binding(metadata.get("namespace", ""), metadata["name"], reference["kind"], reference["name"], subjects)


class Grant(NamedTuple):
    """Rules that a user has, and why."""

    reason: str
    rules: tuple[Rule, ...]


class Granted(NamedTuple):
    """All that a user has somewhere, and the roles that could not be found."""

    grants: tuple[Grant, ...]
    errors: tuple[str, ...]

    @property
    def rules(self) -> list[Rule]:
        """All rules."""
        return [rule for grant in self.grants for rule in grant.rules]

    @property
    def error(self) -> str:
        """Upstream's aggregate of several errors."""
        return self.errors[0] if len(self.errors) == 1 else f"[{', '.join(self.errors)}]" if self.errors else ""


class _Answer(NamedTuple):
    """For any name, and for those names that rules name."""

    general: Decision
    by_name: Mapping[str, Decision]


class Policy:
    """What the stored objects say, and what has been concluded from it."""

    def __init__(self) -> None:
        #: (namespace or "", name) → rules
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        #: namespace or "" → name → binding
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._users: dict[tuple[str, tuple[str, ...]], dict[tuple[str, ...], _Answer]] = {}

    # ---- what is stored --------------------------------------------------------------------------------------

    def put_role(self, value: Object) -> None:
        """A Role or ClusterRole is like this now."""
        metadata = value["metadata"]
        self._roles[metadata.get("namespace", ""), metadata["name"]] = rules_of(value)
        self._users.clear()

    def drop_role(self, namespace: str, name: str) -> None:
        """It is gone."""
        self._roles.pop((namespace, name), None)
        self._users.clear()

    def put_binding(self, value: Object) -> None:
        """A RoleBinding or ClusterRoleBinding is like this now."""
        binding = binding_of(value)
        self._bindings.setdefault(binding.namespace, {})[binding.name] = binding
        self._users.clear()

    def drop_binding(self, namespace: str, name: str) -> None:
        """It is gone."""
        self._bindings.get(namespace, {}).pop(name, None)
        self._users.clear()

    # ---- what follows from it --------------------------------------------------------------------------------

    def decide(self, wanted: Attributes) -> Decision:
        """Whether the rules allow it."""
        user = wanted.user
        answers = self._users.get((user.name, user.groups))
        if answers is None:
            if len(self._users) >= _USERS:
                self._users.clear()
            answers = self._users[user.name, user.groups] = {}
        _, verb, group, resource, subresource, namespace, name, path, _ = wanted
        key = (verb, group, resource, subresource, namespace, path)
        answer = answers.get(key)
        if answer is None:
            if len(answers) >= _ANSWERS:
                answers.clear()
            answer = answers[key] = self._answer(wanted)
        if answer.by_name and name in answer.by_name:
            return answer.by_name[name]
        return answer.general

    def _answer(self, wanted: Attributes) -> _Answer:
        granted = self.granted(wanted.user, wanted.namespace)
        by_name: dict[str, Decision] = {}
        for grant in granted.grants:
            for rule in grant.rules:
                if rule.allows_some(wanted):
                    decision = Decision(True, grant.reason)
                    if not rule.names or not wanted.resource:
                        return _Answer(decision, by_name)
                    for name in rule.names:
                        by_name.setdefault(name, decision)
        return _Answer(Decision(False, f"RBAC: {granted.error}") if granted.errors else REFUSED, by_name)

    def granted(self, user: User, namespace: str) -> Granted:
        """All rules a user has in a namespace, those of the whole cluster first."""
        grants: list[Grant] = []
        errors: list[str] = []
        for binding, subject in self._bindings_of(user, namespace):
            try:
                rules = self.rules_of_role(binding.namespace, binding.role_kind, binding.role)
            except LookupError as error:
                errors.append(error.args[0])
            else:
                grants.append(Grant(binding.reason(subject), rules))
        return Granted(tuple(grants), tuple(dict.fromkeys(errors)))

    def _bindings_of(self, user: User, namespace: str) -> Iterator[tuple[Binding, Subject]]:
        for place in ("", namespace) if namespace else ("",):
            for _, binding in sorted(self._bindings.get(place, {}).items()):
                for subject in binding.subjects:
                    if subject.is_user(user, place):
                        yield binding, subject
                        break

    def rules_of_role(self, namespace: str, kind: str, name: str) -> tuple[Rule, ...]:
        """The rules of what a binding in this namespace refers to; LookupError with upstream's words."""
        rules = self._roles.get((namespace if kind == "Role" else "", name))
        if rules is None:
            raise LookupError(f'{kind.lower()}.{GROUP} "{name}" not found')
        return rules
