"""What the restricted standard demands beyond baseline: the current best practice of hardening Pods."""

from knet.apiserver.admission.pod_security.baseline import Check, forbidden_capabilities, seccomp
from knet.apiserver.admission.pod_security.findings import (
    Finding,
    named,
    names_where,
    plural,
    quoted,
    security_of,
    setters,
)
from knet.store import Object

_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)


def not_on_windows(check: Check) -> Check:
    """A check that does not concern Pods whose spec.os says windows (from 1.25 on)."""

    def unless(metadata: Object, spec: Object) -> Finding | None:
        return None if (spec.get("os") or {}).get("name") == "windows" else check(metadata, spec)

    return unless


def allow_privilege_escalation(_: Object, spec: Object) -> Finding | None:
    names = names_where(spec, lambda one: security_of(one).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    return Finding(
        "allowPrivilegeEscalation != false",
        f"{named('container', names)} must set securityContext.allowPrivilegeEscalation=false",
    )


def capabilities(_: Object, spec: Object) -> Finding | None:
    kept = names_where(spec, lambda one: "ALL" not in ((security_of(one).get("capabilities") or {}).get("drop") or ()))
    faults = [f'{named("container", kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    if added := forbidden_capabilities(spec, ("NET_BIND_SERVICE",)):
        faults.append(added)
    return Finding("unrestricted capabilities", "; ".join(faults)) if faults else None


def volume_types(_: Object, spec: Object) -> Finding | None:
    bad = [volume for volume in spec.get("volumes") or () if not _VOLUMES.intersection(volume)]
    if not bad:
        return None
    types = sorted({next((key for key in volume if key != "name"), "unknown") for volume in bad})
    names = [volume.get("name", "") for volume in bad]
    verb = "uses" if len(names) == 1 else "use"
    return Finding(
        "restricted volume types",
        f"{named('volume', names)} {verb} {plural('restricted volume type', types)} {quoted(types)}",
    )


def run_as_non_root(_: Object, spec: Object) -> Finding | None:
    def says(part: Object) -> bool | None:
        said: bool | None = security_of(part).get("runAsNonRoot")
        return said

    reason = "runAsNonRoot != true"
    who = setters(says(spec) is False, names_where(spec, lambda one: says(one) is False))
    if who:
        return Finding(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [] if says(spec) else names_where(spec, lambda one: says(one) is None)
    if not silent:
        return None
    return Finding(reason, f"pod or {named('container', silent)} must set securityContext.runAsNonRoot=true")


def run_as_user(_: Object, spec: Object) -> Finding | None:
    def root(part: Object) -> bool:
        return security_of(part).get("runAsUser") == 0

    who = setters(root(spec), names_where(spec, root))
    return Finding("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_profile(metadata: Object, spec: Object) -> Finding | None:
    found = seccomp(metadata, spec)
    if found is not None:
        return found
    if security_of(spec).get("seccompProfile") is not None:
        return None
    silent = names_where(spec, lambda one: security_of(one).get("seccompProfile") is None)
    if not silent:
        return None
    return Finding(
        "seccompProfile",
        f"pod or {named('container', silent)} must set securityContext.seccompProfile.type to"
        ' "RuntimeDefault" or "Localhost"',
    )
