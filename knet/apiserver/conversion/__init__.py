"""Kinds that show stored objects in another version's form: pure functions there and back, listed in `CONVERSIONS`.

Nothing is lost on the way: what a version has no field for travels in annotations, under upstream's names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from knet.api import resources
from knet.api.resources import Resource
from knet.apiserver.conversion import autoscaling, events
from knet.store import Object

__all__ = ["CONVERSIONS"]


@dataclass(frozen=True)
class Row:
    """Both directions, and the field labels of this version → those of the stored one."""

    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]
    labels: Mapping[str, str] = field(default_factory=dict)


CONVERSIONS: Mapping[Resource, Row] = {
    resources.EVENTS_V1: Row(events.to_core, events.from_core, events.LABELS),
    resources.HORIZONTALPODAUTOSCALERS_V1: Row(autoscaling.to_v2, autoscaling.from_v2),
}
