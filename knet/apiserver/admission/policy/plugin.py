"""The decision of all policies about one request."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from knet.api.resources import NAMESPACES, VALIDATINGADMISSIONPOLICIES, VALIDATINGADMISSIONPOLICYBINDINGS
from knet.apiserver.admission.conditions import Unsure, scene
from knet.apiserver.admission.matching import EXEMPT
from knet.apiserver.admission.policy.compiled import Binding, Policy, bindings_of, evaluated, policies_of
from knet.apiserver.admission.policy.parameters import Misconfigured, parameter_kind, parameters
from knet.apiserver.admission.request import Request
from knet.apiserver.expressions import escaped
from knet.apiserver.kind import Kind
from knet.apiserver.status import StatusError
from knet.apiserver.user import SERVER

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a policy refuses, under which binding (None: whatever binding)."""

    policy: Policy
    binding: Binding | None
    message: str
    reason: str = "Invalid"

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
    scenes: dict[Kind, dict[str, Any]] = {}
    denials: list[Denial] = []
    for binding in bindings:
        policy = policies.get(binding.policy)
        if policy is not None:
            denials += _decide(request, policy, binding, scenes)
    if denials:
        raise denials[0].error(request)


def _decide(
    request: Request, policy: Policy, binding: Binding, scenes: dict[Kind, dict[str, Any]]
) -> Iterator[Denial]:
    """What a policy has against a request under one of its bindings."""
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
    if form not in scenes:
        scenes[form] = _scene(request, form)
    for parameter in found:
        for denial in _evaluate(policy, binding, {**scenes[form], "params": escaped(parameter)}):
            if "Deny" in binding.actions:
                yield denial
            if "Warn" in binding.actions:
                which = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
                request.warn(f"Validation failed for {which}: {denial.message}")


def _scene(request: Request, form: Kind) -> dict[str, Any]:
    """What expressions see; the namespace is that of what is in one, so none of a Namespace's own."""
    data = scene(request, form)
    if request.namespace and request.resource is not NAMESPACES:
        data["namespaceObject"] = escaped(request.find(NAMESPACES, request.namespace))
    return data


def _evaluate(policy: Policy, binding: Binding, data: dict[str, Any]) -> Iterator[Denial]:
    """What fails with one parameter."""
    if policy.conditions:
        try:
            if not policy.conditions.hold(data):
                return
        except Unsure as error:
            yield Denial(policy, binding, str(error))
            return
    data = policy.with_variables(data)
    for validation in policy.validations:
        try:
            held = evaluated(validation.holds, data)
        except ValueError as error:
            if not policy.open:
                yield Denial(policy, binding, str(error))
            continue
        if held is not True:
            yield Denial(policy, binding, validation.complaint(data), validation.reason)
