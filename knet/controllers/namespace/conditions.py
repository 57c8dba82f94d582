"""Why a namespace is still there: the conditions that `kubectl describe namespace` prints."""

from collections.abc import Mapping
from datetime import datetime

from knet.api.objects import Condition
from knet.client.events import rfc3339
from knet.controllers.conditions import Conditions, put_condition
from knet.controllers.namespace.content import Remaining


def describe(current: Conditions, left: Remaining, now: datetime) -> Conditions:
    """The five conditions of a terminating namespace, brought up to date."""
    finalizers = _counts("{} in {} resource instances", left.finalizers)
    resources = _counts("{} has {} resource instances", left.objects)
    rows = (
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            ("NamespaceDeletionContentFailure", True, "ContentDeletionFailed", "; ".join(left.failures))
            if left.failures
            else (
                "NamespaceDeletionContentFailure",
                False,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            )
        ),
        (
            ("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {resources}")
            if left.objects
            else ("NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed")
        ),
        (
            (
                "NamespaceFinalizersRemaining",
                True,
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {finalizers}",
            )
            if left.finalizers
            else (
                "NamespaceFinalizersRemaining",
                False,
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            )
        ),
    )
    for kind, holds, reason, message in rows:
        row = Condition(
            type=kind,
            status="True" if holds else "False",
            reason=reason,
            message=message,
            lastTransitionTime=rfc3339(now),
        )
        current = put_condition(current, row)
    return current


def _counts(form: str, counts: Mapping[str, int]) -> str:
    return ", ".join(form.format(name, count) for name, count in sorted(counts.items()))
