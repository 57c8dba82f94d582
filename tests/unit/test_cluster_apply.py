"""The three-way merge of apply, on its pure parts."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.patch import merge_patch
from knet.cluster.apply import delta, overlay, removals, resource_of, without_elements
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


def test_elements_that_a_manifest_no_longer_has_are_deleted_by_what_a_merge_finds_them_by() -> None:
    last = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}], "args": ["a"]}}
    now = {"spec": {"ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53}], "args": ["b"]}}
    patch = delta(last, now)
    assert without_elements(patch, last, now) == {
        "spec": {"ports": [*now["spec"]["ports"], {"$patch": "delete", "port": 80}], "args": ["b"]}
    }
    assert without_elements({"metadata": {"labels": {"a": None}}}, last, now) == {"metadata": {"labels": {"a": None}}}


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


def trees(keys: str) -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2)
    return st.dictionaries(
        st.sampled_from(keys),
        st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from(keys), inner, max_size=3), max_leaves=6),
        max_size=3,
    )


def ways(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, item in tree.items():
        yield (*above, key)
        if isinstance(item, dict):
            yield from ways(item, (*above, key))


_NOTHING = object()


def at(tree: Any, way: tuple[str, ...]) -> Any:
    for key in way:
        tree = tree.get(key, _NOTHING) if isinstance(tree, dict) else _NOTHING
    return tree


@given(last=trees("abc"), now=trees("abc"), others=trees("abxy"))
def test_three_ways_meet(last: dict[str, Any], now: dict[str, Any], others: dict[str, Any]) -> None:
    """What is applied is so; what no longer is, is gone; what others have added stays where there is still room."""
    live = overlay(last, others)
    patch = overlay(removals(last, now), delta(live, now))
    result = merge_patch(overlay(live, {}), patch)
    assert delta(result, now) == {}
    for way in ways(last):
        assert at(result, way) is _NOTHING or at(now, way) is not _NOTHING
    for way in ways(live):
        if at(last, way) is _NOTHING and isinstance(at(now, way[:-1]), dict):
            assert at(result, way) is not _NOTHING
