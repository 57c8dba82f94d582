"""The decision of all policies about one request."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from knet.api.resources import NAMESPACES, VALIDATINGADMISSIONPOLICIES, VALIDATINGADMISSIONPOLICYBINDINGS
from knet.apiserver.admission.conditions import Unsure, scene
from knet.apiserver.admission.matching import EXEMPT
from knet.apiserver.admission.policy.compiled import (
    LONGEST_ANNOTATION,
    Binding,
    Policy,
    bindings_of,
    evaluated,
    policies_of,
)
from knet.apiserver.admission.policy.parameters import Misconfigured, parameter_kind, parameters
from knet.apiserver.admission.request import Request
from knet.apiserver.annotations import annotate
from knet.apiserver.expressions import escaped
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError
from knet.apiserver.user import SERVER
from knet.store import Object

#: annotation of audit events, and how many failures it tells of
_FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_MOST_FAILURES = 50
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a policy refuses, under which binding (None: whatever binding)."""

    policy: Policy
    binding: Binding | None
    message: str
    reason: str = "Invalid"
    #: of the validation; None where an audit annotation fails, which refuses whatever the binding says
    index: int | None = 0

    def error(self, request: Request) -> StatusError:
        """As clients see it."""
        which = f"ValidatingAdmissionPolicy '{self.policy.name}'"
        if self.binding is not None:
            which += f" with binding '{self.binding.name}'"
        message = f"{which} denied request: {self.message}"
        forbidden = request.forbidden(message)
        details = {**(forbidden.details or {}), "causes": [{"message": message}]}
        return StatusError(_CODES.get(self.reason, 422), self.reason, forbidden.message, details)


def validate(request: Request) -> None:
    """StatusError 422, or what the failed validation says; costs nothing where there is no binding."""
    bindings = request.derive(VALIDATINGADMISSIONPOLICYBINDINGS, bindings_of)
    if not bindings or request.resource in EXEMPT or request.options.writer is SERVER:
        return
    policies = request.derive(VALIDATINGADMISSIONPOLICIES, policies_of)
    decision = Decision(request)
    denials: list[Denial] = []
    for binding in bindings:
        policy = policies.get(binding.policy)
        if policy is not None:
            denials += _decide(decision, policy, binding)
    decision.tell()
    if denials:
        raise denials[0].error(request)


class Decision:
    """One request before all policies: what their expressions see of it, and what the audit log is told."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._scenes: dict[Kind, dict[str, Any]] = {}
        self._failures: list[Object] = []
        #: by key, what policies annotate; several bindings may say several things
        self._notes: dict[str, list[str]] = {}

    def scene(self, form: Kind) -> dict[str, Any]:
        """What expressions see; the namespace is that of what is in one, so none of a Namespace's own."""
        request, found = self.request, self._scenes.get(form)
        if found is None:
            found = self._scenes[form] = scene(request, form)
            if request.namespace and request.resource is not NAMESPACES:
                found["namespaceObject"] = escaped(request.find(NAMESPACES, request.namespace))
        return found

    def failed(self, denial: Denial, binding: Binding) -> None:
        """A validation failed where that is to be told."""
        self._failures.append(
            {
                "message": denial.message,
                "policy": denial.policy.name,
                "binding": binding.name,
                "expressionIndex": denial.index,
                "validationActions": list(binding.actions),
            }
        )

    def note(self, policy: Policy, key: str, value: str) -> None:
        """A policy's own annotation."""
        values = self._notes.setdefault(f"{policy.name}/{key}", [])
        if value not in values:
            values.append(value)

    def tell(self) -> None:
        """All of it."""
        for key, values in self._notes.items():
            annotate(key, ", ".join(values))
        if self._failures:
            annotate(_FAILURES, orjson.dumps(self._failures[:_MOST_FAILURES]).decode())


def _decide(decision: Decision, policy: Policy, binding: Binding) -> Iterator[Denial]:
    """What a policy has against a request under one of its bindings."""
    request = decision.request
    form = policy.criteria.form(request)
    if form is None:
        return
    try:
        kind = parameter_kind(request, policy)
    except Misconfigured as error:
        if not policy.open:
            yield Denial(policy, None, f"failed to configure policy: {error}")
        return
    if binding.criteria.form(request) is None:
        return
    try:
        found = parameters(request, kind, binding)
    except Misconfigured as error:
        if not policy.open:
            yield Denial(policy, binding, f"failed to configure binding: {error}")
        return
    for parameter in found:
        for denial in _evaluate(decision, policy, binding, {**decision.scene(form), "params": escaped(parameter)}):
            if "Deny" in binding.actions or denial.index is None:
                yield denial
            if "Audit" in binding.actions:
                decision.failed(denial, binding)
            if "Warn" in binding.actions:
                which = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
                request.warn(f"Validation failed for {which}: {denial.message}")


def _evaluate(decision: Decision, policy: Policy, binding: Binding, data: dict[str, Any]) -> Iterator[Denial]:
    """What fails with one parameter."""
    if policy.conditions:
        try:
            if not policy.conditions.hold(data):
                return
        except Unsure as error:
            yield Denial(policy, binding, str(error))
            return
    data = policy.with_variables(data)
    for index, validation in enumerate(policy.validations):
        try:
            held = evaluated(validation.holds, data)
        except ValueError as error:
            if not policy.open:
                yield Denial(policy, binding, str(error), index=index)
            continue
        if held is not True:
            yield Denial(policy, binding, validation.complaint(data), validation.reason, index)
    for key, text, value in policy.annotations:
        try:
            note = evaluated(value, data)
            if note is not None and not isinstance(note, str):
                why = f"valueExpression '{text}' resulted in unsupported return type"
                raise ValueError(f"{why}: {type(note).__name__}. Return type must be either string or null.")
        except ValueError as error:
            if not policy.open:
                yield Denial(policy, binding, str(error), index=None)
            continue
        if note and note.strip():
            decision.note(policy, key, note.strip()[:LONGEST_ANNOTATION])
