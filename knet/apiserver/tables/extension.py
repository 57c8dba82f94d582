"""What extends the API server: admission webhooks and policies, APIServices, and flow control."""

from collections.abc import Mapping

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.tables.column import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Column,
    Columns,
    at,
    condition,
    count,
    format_selector,
    text,
)
from knet.store import Object


def param_kind(value: Object) -> str:
    """``rules.example.com/v1/ReplicaLimit``."""
    row = value.get("spec", {}).get("paramKind")
    return f"{row.get('apiVersion', '')}/{row.get('kind', '')}" if row else UNSET


def param_ref(value: Object) -> str:
    """``default/limit``; without namespace ``*/limit``."""
    row = value.get("spec", {}).get("paramRef")
    if row is None:
        return UNSET
    if row.get("name"):
        return f"{row.get('namespace') or '*'}/{row['name']}"
    return format_selector(row["selector"]) if "selector" in row else UNSET


def service(value: Object) -> str:
    """Who serves an API: ``Local``, or a Service."""
    row = value.get("spec", {}).get("service")
    return f"{row.get('namespace', '')}/{row.get('name', '')}" if row else "Local"


def available(value: Object) -> str:
    """``True``, ``False (MissingEndpoints)``."""
    row = condition(value, "Available")
    if not row:
        return "Unknown"
    return "True" if row.get("status") == "True" else f"{row.get('status', '')} ({row.get('reason', '')})"


_WEBHOOKS: Columns = (NAME, Column("Webhooks", count("webhooks"), "integer"), AGE)

COLUMNS: Mapping[Resource, Columns] = {
    resources.MUTATINGWEBHOOKCONFIGURATIONS: _WEBHOOKS,
    resources.VALIDATINGWEBHOOKCONFIGURATIONS: _WEBHOOKS,
    resources.VALIDATINGADMISSIONPOLICIES: (
        NAME,
        Column("Validations", count("spec.validations"), "integer"),
        Column("ParamKind", param_kind),
        AGE,
    ),
    resources.VALIDATINGADMISSIONPOLICYBINDINGS: (
        NAME,
        Column("PolicyName", text("spec.policyName")),
        Column("ParamRef", param_ref),
        AGE,
    ),
    resources.APISERVICES: (NAME, Column("Service", service), Column("Available", available), AGE),
    resources.FLOWSCHEMAS: (
        NAME,
        Column("PriorityLevel", text("spec.priorityLevelConfiguration.name")),
        Column("MatchingPrecedence", at("spec.matchingPrecedence", 0)),
        Column("DistinguisherMethod", text("spec.distinguisherMethod.type", NONE)),
        AGE,
        Column("MissingPL", lambda value: condition(value, "Dangling").get("status", "?")),
    ),
    resources.PRIORITYLEVELCONFIGURATIONS: (
        NAME,
        Column("Type", text("spec.type")),
        Column("NominalConcurrencyShares", at("spec.limited.nominalConcurrencyShares", NONE)),
        Column("Queues", at("spec.limited.limitResponse.queuing.queues", NONE)),
        Column("HandSize", at("spec.limited.limitResponse.queuing.handSize", NONE)),
        Column("QueueLengthLimit", at("spec.limited.limitResponse.queuing.queueLengthLimit", NONE)),
        AGE,
    ),
}
