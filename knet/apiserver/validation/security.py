"""Security contexts of Pods and containers (pkg/apis/core/validation)."""

import re

from knet.apiserver import field
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import INT32_MAX, Required, between, each, one_of, shape, unique, where
from knet.store import Object

_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_HELP = f"must have at most 253 characters and match regex ^{_SYSCTL.pattern}$"

identity = between(0, INT32_MAX)


def _profile(value: Object, path: str) -> Errors:
    """A seccomp or AppArmor profile: a file only where the type says so."""
    kind, name = value.get("type", ""), value.get("localhostProfile")
    if kind == "Localhost":
        return (
            [] if name else [field.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")]
        )
    if name is not None:
        detail = "can only be set when seccomp type is Localhost"
        return [field.invalid(f"{path}.localhostProfile", name, detail)]
    return []


_TYPES = one_of("Localhost", "RuntimeDefault", "Unconfined")
_COMMON = {
    "runAsUser": identity,
    "runAsGroup": identity,
    "seccompProfile": shape({"type": Required(_TYPES, "type is required when seccompProfile is set")}, _profile),
    "appArmorProfile": shape({"type": Required(_TYPES, "type is required when appArmorProfile is set")}),
}


def _escalation(value: Object, path: str) -> Errors:
    if value.get("allowPrivilegeEscalation") is not False:
        return []
    shown = field.go_missing()
    errors: Errors = []
    if value.get("privileged"):
        errors.append(
            field.invalid(path, shown, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        )
    if "CAP_SYS_ADMIN" in value.get("capabilities", {}).get("add", ()):
        detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        errors.append(field.invalid(path, shown, detail))
    return errors


container_security = shape({**_COMMON, "procMount": one_of("Default", "Unmasked")}, _escalation)
pod_security = shape(
    {
        **_COMMON,
        "fsGroup": identity,
        "supplementalGroups": each(identity),
        "fsGroupChangePolicy": one_of("Always", "OnRootMismatch"),
        "supplementalGroupsPolicy": one_of("Merge", "Strict"),
        "sysctls": each(
            shape({"name": Required(where(lambda name: _SYSCTL.fullmatch(name) is not None, _SYSCTL_HELP))})
        ),
    },
    lambda value, path: unique(lambda row: row.get("name"), None, ".name")(value.get("sysctls", ()), f"{path}.sysctls"),
)
