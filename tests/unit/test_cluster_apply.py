"""What apply takes from a manifest before it asks the API server."""

import pytest

from knet.cluster.apply import overlay, resource_of
from knet.cluster.errors import KnetError


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
