"""Webhooks as their configurations describe them, in the order in which they are asked."""

from dataclasses import dataclass

from knet.apiserver.admission.conditions import Conditions
from knet.apiserver.admission.matching import Criteria, criteria_of, rules_of
from knet.apiserver.admission.webhook.review import VERSIONS
from knet.store import Object


@dataclass(frozen=True, slots=True)
class Client:
    """Where a webhook is: at ``url``, or at ``path`` of a port of a Service.  ``bundle``: CAs in base64, "" for any."""

    url: str
    namespace: str
    service: str
    port: int
    path: str
    bundle: str


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """One webhook.  ``version`` is that of the AdmissionReview it understands, "" if none of ours."""

    id: str
    configuration: str
    name: str
    criteria: Criteria
    conditions: Conditions
    client: Client
    version: str
    timeout: int
    #: what it cannot answer is let through
    open: bool
    #: it can be asked about dry runs
    harmless: bool
    #: it wants to be asked again if others change the object after it
    reinvoked: bool


def webhooks_of(configurations: list[Object]) -> tuple[Webhook, ...]:
    """All webhooks of a phase: by the names of their configurations, in these as they stand."""
    found = []
    for configuration in sorted(configurations, key=lambda row: str(row["metadata"]["name"])):
        seen: dict[str, int] = {}
        for row in configuration.get("webhooks") or ():
            number = seen.setdefault(row["name"], 0)
            seen[row["name"]] += 1
            found.append(_webhook(configuration["metadata"]["name"], row, number))
    return tuple(found)


def _webhook(configuration: str, row: Object, number: int) -> Webhook:
    open_ = row.get("failurePolicy") == "Ignore"
    return Webhook(
        f"{configuration}/{row['name']}/{number}",
        configuration,
        row["name"],
        criteria_of(row, rules_of(row.get("rules"))),
        Conditions(row.get("matchConditions") or (), open_),
        _client(row["clientConfig"]),
        next((version for version in row.get("admissionReviewVersions") or () if version in VERSIONS), ""),
        row.get("timeoutSeconds") or 10,
        open_,
        row.get("sideEffects") in ("None", "NoneOnDryRun"),
        row.get("reinvocationPolicy") == "IfNeeded",
    )


def _client(row: Object) -> Client:
    service = row.get("service") or {}
    return Client(
        row.get("url") or "",
        service.get("namespace", ""),
        service.get("name", ""),
        service.get("port") or 443,
        service.get("path") or "",
        row.get("caBundle") or "",
    )
