"""Conditions as controllers write them: replaced when status or reason changes, otherwise left alone.

The rules are those of upstream's SetDeploymentCondition, SetNodeCondition and their like: lastTransitionTime moves
only when ``status`` changes.
"""

from datetime import UTC, datetime

from knet.api.objects import JSON, Condition, condition
from knet.client.events import rfc3339

Conditions = tuple[Condition, ...]


def parse_time(text: str | None) -> datetime | None:
    """An API timestamp as a moment; None where there is none."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def set_condition(conditions: Conditions, new: Condition) -> Conditions:
    """``conditions`` with ``new`` in place of its type's row; unchanged if status and reason are the same."""
    current = condition(conditions, new.type)
    if current is not None and (current.status, current.reason) == (new.status, new.reason):
        return conditions
    return put_condition(conditions, new)


def put_condition(conditions: Conditions, new: Condition) -> Conditions:
    """As `set_condition`, but writes also where only message or times differ."""
    current = condition(conditions, new.type)
    if current is not None and current.status == new.status and current.lastTransitionTime:
        new = Condition(
            type=new.type,
            status=new.status,
            reason=new.reason,
            message=new.message,
            lastTransitionTime=current.lastTransitionTime,
            lastUpdateTime=new.lastUpdateTime,
            lastHeartbeatTime=new.lastHeartbeatTime,
        )
    return (*without(conditions, new.type), new)


def without(conditions: Conditions, kind: str) -> Conditions:
    return tuple(row for row in conditions if row.type != kind)


def disruption_target(reason: str, message: str) -> Condition:
    """The cluster, not the pod, is the reason for its end (KEP-3329)."""
    return Condition(
        type="DisruptionTarget", status="True", reason=reason, message=message, lastTransitionTime=rfc3339()
    )


def condition_json(row: Condition) -> JSON:
    """A condition as it goes on the wire: empty reason and message stay out, as Go's omitempty does."""
    written: JSON = {"type": row.type, "status": row.status}
    for name in ("lastProbeTime", "lastHeartbeatTime", "lastUpdateTime", "lastTransitionTime", "reason", "message"):
        if value := getattr(row, name):
            written[name] = value
    return written


def conditions_json(rows: Conditions) -> list[JSON]:
    return [condition_json(row) for row in rows]
