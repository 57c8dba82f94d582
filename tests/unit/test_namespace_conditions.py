"""What a terminating namespace says of itself."""

from collections import Counter
from datetime import UTC, datetime

from knet.api.objects import condition
from knet.api.resources import STORED
from knet.controllers.namespace.conditions import describe
from knet.controllers.namespace.content import Remaining, kinds_within

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)


def test_what_is_left_is_counted_by_kind_and_finalizer() -> None:
    left = Remaining(Counter({"pods": 2, "configmaps": 1}), Counter({"example.com/hold": 1}), [], 30)
    rows = describe((), left, NOW)
    remaining, held = condition(rows, "NamespaceContentRemaining"), condition(rows, "NamespaceFinalizersRemaining")
    assert remaining is not None
    assert held is not None
    assert remaining.message == (
        "Some resources are remaining: configmaps has 1 resource instances, pods has 2 resource instances"
    )
    assert held.message == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert {row.type: row.status for row in rows} == {
        "NamespaceDeletionDiscoveryFailure": "False",
        "NamespaceDeletionGroupVersionParsingFailure": "False",
        "NamespaceDeletionContentFailure": "False",
        "NamespaceContentRemaining": "True",
        "NamespaceFinalizersRemaining": "True",
    }


def test_the_same_again_is_no_change() -> None:
    left = Remaining(Counter({"pods": 2}))
    rows = describe((), left, NOW)
    assert describe(rows, left, datetime(2025, 1, 2, tzinfo=UTC)) == rows


def test_every_namespaced_kind_is_emptied() -> None:
    kinds = {row.plural for row in kinds_within(STORED)}
    assert {"pods", "configmaps", "secrets", "events", "deployments", "endpointslices"} <= kinds
    assert not {"nodes", "namespaces"} & kinds
