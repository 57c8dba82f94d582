"""The standards as one table: which check belongs to which level, from which version on."""

from functools import lru_cache
from typing import NamedTuple

from knet.api import sysctls
from knet.apiserver.admission.pod_security import baseline, restricted
from knet.apiserver.admission.pod_security.baseline import Check
from knet.apiserver.admission.pod_security.findings import Finding
from knet.apiserver.admission.pod_security.policy import Level
from knet.apiserver.admission.pod_security.restricted import not_on_windows
from knet.store import Object


class Row(NamedTuple):
    """``since``: the minor version that brought this form of the check; ``replaces``: the baseline check it includes.

    Forms older than 1.25 are left out: a policy that asks for one gets that of 1.25.
    """

    name: str
    level: str
    since: int
    check: Check
    replaces: str = ""


#: in the order in which findings are reported; of several rows of a name the newest that is old enough counts
CHECKS = (
    Row("appArmorProfile", "baseline", 0, baseline.app_armor),
    Row("capabilities_baseline", "baseline", 0, baseline.capabilities),
    Row("hostNamespaces", "baseline", 0, baseline.host_namespaces),
    Row("hostPathVolumes", "baseline", 0, baseline.host_path_volumes),
    Row("hostPorts", "baseline", 0, baseline.host_ports),
    Row("privileged", "baseline", 0, baseline.privileged),
    Row("procMount", "baseline", 0, baseline.proc_mount),
    Row("seLinuxOptions", "baseline", 0, baseline.selinux(baseline.SELINUX_TYPES)),
    Row("seLinuxOptions", "baseline", 31, baseline.selinux(baseline.SELINUX_TYPES_31)),
    Row("seccompProfile_baseline", "baseline", 0, baseline.seccomp),
    Row("sysctls", "baseline", 0, baseline.sysctls(sysctls.SYSCTLS)),
    Row("sysctls", "baseline", 29, baseline.sysctls(sysctls.SYSCTLS_29)),
    Row("sysctls", "baseline", 32, baseline.sysctls(sysctls.SYSCTLS_32)),
    Row("windowsHostProcess", "baseline", 0, baseline.windows_host_process),
    Row("allowPrivilegeEscalation", "restricted", 0, not_on_windows(restricted.allow_privilege_escalation)),
    Row("capabilities_restricted", "restricted", 0, not_on_windows(restricted.capabilities), "capabilities_baseline"),
    Row("restrictedVolumes", "restricted", 0, restricted.volume_types, "hostPathVolumes"),
    Row("runAsNonRoot", "restricted", 0, restricted.run_as_non_root),
    Row("runAsUser", "restricted", 0, restricted.run_as_user),
    Row(
        "seccompProfile_restricted",
        "restricted",
        0,
        not_on_windows(restricted.seccomp_profile),
        "seccompProfile_baseline",
    ),
)


@lru_cache(maxsize=64)
def checks_of(level: Level) -> tuple[Check, ...]:
    """The checks that a level consists of."""
    rows: dict[str, Row] = {}
    for row in CHECKS:
        if level.name in ("restricted", row.level) and row.since <= level.minor:
            rows[row.name] = row
    replaced = {row.replaces for row in rows.values()}
    return tuple(row.check for name, row in rows.items() if name not in replaced)


def evaluate(level: Level, metadata: Object, spec: Object) -> list[Finding]:
    """Everything about a Pod that the level does not allow."""
    found = (check(metadata, spec) for check in checks_of(level))
    return [finding for finding in found if finding is not None]
