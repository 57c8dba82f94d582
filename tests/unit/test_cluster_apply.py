"""The three-way merge of apply, on its pure parts."""

import pytest

from knet.cluster.apply import delta, overlay, removals, resource_of
from knet.cluster.errors import KnetError


@pytest.mark.parametrize(
    ("last", "now", "patch"),
    [
        ({"a": 1}, {"a": 2}, {}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"m": {"x": 1, "y": 2}}, {"m": {"x": 1}}, {"m": {"y": None}}),
        ({"m": {"x": 1}}, {"m": [1]}, {}),
        ({}, {"a": 1}, {}),
    ],
)
def test_what_a_manifest_no_longer_says_is_removed(last: object, now: object, patch: object) -> None:
    assert removals(last, now) == patch


PORTS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("live", "wanted", "patch"),
    [
        ({"spec": {"a": 1, "default": 2}}, {"spec": {"a": 1}}, {}),
        ({"spec": {"a": 1, "b": 1}}, {"spec": {"a": 1, "b": 2}}, {"spec": {"b": 2}}),
        ({"ports": [{**row, "nodePort": 0} for row in PORTS]}, {"ports": PORTS}, {}),
        ({"ports": PORTS[:1]}, {"ports": PORTS}, {"ports": PORTS}),
        ({}, {"spec": {}}, {"spec": {}}),
        ({"x": "text"}, {"x": {"a": 1}}, {"x": {"a": 1}}),
    ],
)
def test_only_what_differs_is_sent(live: object, wanted: object, patch: object) -> None:
    assert delta(live, wanted) == patch


def test_overlay_merges_maps_and_replaces_the_rest() -> None:
    base = {"spec": {"a": None, "list": [1, 2]}, "kept": 1}
    assert overlay(base, {"spec": {"list": [3], "b": 2}}) == {"spec": {"a": None, "list": [3], "b": 2}, "kept": 1}


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        ({}, "a manifest needs apiVersion and kind"),
        ({"apiVersion": "v2", "kind": "Pod"}, 'no matches for kind "Pod" in version "v2"'),
    ],
)
def test_a_manifest_of_no_known_kind_is_refused(manifest: dict[str, object], complaint: str) -> None:
    with pytest.raises(KnetError, match=complaint):
        resource_of(manifest)
