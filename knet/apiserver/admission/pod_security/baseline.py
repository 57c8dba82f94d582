"""The baseline standard: no known way to escalate privileges.  Each function returns what is wrong, or None."""

from collections.abc import Callable, Iterable

from knet.apiserver.admission.pod_security.findings import (
    Finding,
    containers_of,
    named,
    names_where,
    plural,
    quoted,
    security_of,
    setters,
)
from knet.store import Object

#: of (metadata, spec)
Check = Callable[[Object, Object], Finding | None]

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
SECCOMP_TYPES = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
SELINUX_TYPES_31 = SELINUX_TYPES | {"container_engine_t"}


def bad_values(spec: Object, key: str, allowed: Iterable[str]) -> tuple[bool, list[str], list[str]]:
    """Of a profile in security contexts: does the Pod set a bad type, which containers do, and which types."""

    def bad(part: Object) -> bool:
        profile = security_of(part).get(key)
        return profile is not None and profile.get("type", "") not in allowed

    parts = [spec, *containers_of(spec)]
    types = sorted({security_of(part)[key].get("type", "") for part in parts if bad(part)})
    return bad(spec), names_where(spec, bad), types


def app_armor(metadata: Object, spec: Object) -> Finding | None:
    pod, names, values = bad_values(spec, "appArmorProfile", SECCOMP_TYPES)
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [text for text in (setters(pod, names), plural("annotation", annotations) if annotations else "") if text]
    if not who:
        return None
    values += annotations
    return Finding(
        plural("forbidden AppArmor profile", values),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}",
    )


def _added(container: Object) -> list[str]:
    found: list[str] = (security_of(container).get("capabilities") or {}).get("add") or []
    return found


def forbidden_capabilities(spec: Object, allowed: Iterable[str]) -> str:
    """``container "a" must not include "X" in …``; "" where nothing is added beyond ``allowed``."""
    names = names_where(spec, lambda container: set(_added(container)).difference(allowed))
    if not names:
        return ""
    added = sorted({name for container in containers_of(spec) for name in _added(container)}.difference(allowed))
    return f"{named('container', names)} must not include {quoted(added)} in securityContext.capabilities.add"


def capabilities(_: Object, spec: Object) -> Finding | None:
    detail = forbidden_capabilities(spec, _CAPABILITIES)
    return Finding("non-default capabilities", detail) if detail else None


def host_namespaces(_: Object, spec: Object) -> Finding | None:
    used = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return Finding("host namespaces", ", ".join(used)) if used else None


def host_path_volumes(_: Object, spec: Object) -> Finding | None:
    names = [volume.get("name", "") for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Finding("hostPath volumes", named("volume", names)) if names else None


def _host_ports(container: Object) -> list[str]:
    return [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]


def host_ports(_: Object, spec: Object) -> Finding | None:
    names = names_where(spec, _host_ports)
    if not names:
        return None
    ports = sorted({port for container in containers_of(spec) for port in _host_ports(container)})
    verb = "uses" if len(names) == 1 else "use"
    return Finding("hostPort", f"{named('container', names)} {verb} {plural('hostPort', ports)} {', '.join(ports)}")


def privileged(_: Object, spec: Object) -> Finding | None:
    names = names_where(spec, lambda container: security_of(container).get("privileged"))
    if not names:
        return None
    return Finding("privileged", f"{named('container', names)} must not set securityContext.privileged=true")


def proc_mount(_: Object, spec: Object) -> Finding | None:
    def mount(container: Object) -> str:
        return str(security_of(container).get("procMount") or "Default")

    names = names_where(spec, lambda container: mount(container) != "Default")
    if not names:
        return None
    values = sorted({mount(container) for container in containers_of(spec)} - {"Default"})
    return Finding(
        "procMount", f"{named('container', names)} must not set securityContext.procMount to {quoted(values)}"
    )


def selinux(types: frozenset[str]) -> Check:
    def check(_: Object, spec: Object) -> Finding | None:
        def options(part: Object) -> Object:
            found: Object = security_of(part).get("seLinuxOptions") or {}
            return found

        def bad(part: Object) -> bool:
            have = options(part)
            return have.get("type", "") not in types or bool(have.get("user")) or bool(have.get("role"))

        names = names_where(spec, bad)
        if not names and not bad(spec):
            return None
        parts = [options(part) for part in (spec, *containers_of(spec))]
        wrong = sorted({have.get("type", "") for have in parts} - types)
        faults = [named("type", wrong)] if wrong else []
        faults += [f"{key} may not be set" for key in ("user", "role") if any(have.get(key) for have in parts)]
        who = setters(bad(spec), names)
        return Finding("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(faults)}")

    return check


def seccomp(_: Object, spec: Object) -> Finding | None:
    pod, names, values = bad_values(spec, "seccompProfile", SECCOMP_TYPES)
    if not pod and not names:
        return None
    detail = f"{setters(pod, names)} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Finding("seccompProfile", detail)


def sysctls(allowed: frozenset[str]) -> Check:
    def check(_: Object, spec: Object) -> Finding | None:
        names = [row.get("name", "") for row in security_of(spec).get("sysctls") or ()]
        bad = [name for name in names if name not in allowed]
        return Finding("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def windows_host_process(_: Object, spec: Object) -> Finding | None:
    def bad(part: Object) -> bool:
        return bool((security_of(part).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(bad(spec), names_where(spec, bad))
    if not who:
        return None
    return Finding("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")
