"""RoleBindings, ClusterRoleBindings and CertificateSigningRequests."""

from collections.abc import Callable, Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import AGE, NAME, NONE, Column, Columns, text, wide
from knet.apiserver.tables.times import human_duration
from knet.store import Object


def role(value: Object) -> str:
    """``ClusterRole/view``."""
    row = value.get("roleRef", {})
    return f"{row.get('kind', '')}/{row.get('name', '')}"


def subjects(kind: str) -> Callable[[Object], str]:
    """The subjects of a kind; service accounts with their namespaces."""

    def read(value: Object) -> str:
        rows = [row for row in value.get("subjects") or () if row.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{row.get('namespace', '')}/{row.get('name', '')}" for row in rows)
        return ", ".join(row.get("name", "") for row in rows)

    return read


def request_condition(value: Object) -> str:
    """``Approved,Issued``."""
    status = value.get("status", {})
    types = {row.get("type") for row in status.get("conditions") or ()}
    parts = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    if "Failed" in types:
        parts.append("Failed")
    if status.get("certificate"):
        parts.append("Issued")
    return ",".join(parts)


def requested_duration(value: Object) -> str:
    """How long the certificate is to be valid."""
    seconds = value.get("spec", {}).get("expirationSeconds")
    return NONE if seconds is None else human_duration(seconds)


_BINDING: Columns = (
    NAME,
    Column("Role", role),
    AGE,
    wide("Users", subjects("User")),
    wide("Groups", subjects("Group")),
    wide("ServiceAccounts", subjects("ServiceAccount")),
)

COLUMNS: Mapping[Resource, Columns] = {
    resources.ROLEBINDINGS: _BINDING,
    resources.CLUSTERROLEBINDINGS: _BINDING,
    resources.CERTIFICATESIGNINGREQUESTS: (
        NAME,
        AGE,
        Column("SignerName", text("spec.signerName", NONE)),
        Column("Requestor", text("spec.username")),
        Column("RequestedDuration", requested_duration),
        Column("Condition", request_condition),
    ),
}
