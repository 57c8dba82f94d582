"""The patch of kubectl apply: what a manifest no longer says goes, what it says comes, what others have added stays."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.definitions import load_definitions
from knet.api.patch import merge_patch
from knet.api.schema import Schema
from knet.api.strategic import strategic_merge_patch
from knet.api.three_way import holds, three_way_patch

KINDS = {"Pod": ("", "v1"), "Service": ("", "v1"), "EndpointSlice": ("discovery.k8s.io", "v1")}
KINDS |= {"Deployment": ("apps", "v1"), "PodDisruptionBudget": ("policy", "v1")}
SCHEMA = Schema(load_definitions(), [(group, version, kind) for kind, (group, version) in KINDS.items()])


def env(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "web", **fields}]}


A, B, C = ({"name": name, "image": "nginx"} for name in "abc")
UDP, TCP, METRICS = {"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 9153, "protocol": "TCP"}
HTTP, HTTPS = {"name": "http", "port": 80}, {"name": "https", "port": 443}


@pytest.mark.parametrize(
    ("kind", "last", "now", "live", "becomes"),
    [
        # maps
        ("Pod", {"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}),
        ("Pod", {"nodeSelector": {"x": "1", "y": "1"}}, {"nodeSelector": {"x": "1"}},
         {"nodeSelector": {"x": "2", "y": "1", "z": "1"}}, {"nodeSelector": {"x": "1", "z": "1"}}),
        ("Deployment", {"replicas": 2}, {"replicas": 0}, {"replicas": 2}, {"replicas": 0}),
        ("Pod", {}, {"x": None}, {}, {}),
        ("Pod", {}, {"x": {"a": 1}}, {"x": "text"}, {"x": {"a": 1}}),
        # a key of an element of a list, and of one in that
        ("Pod", container(image="a", tty=True), container(image="b"), container(image="a", tty=True, stdin=True),
         container(image="b", stdin=True)),
        ("Pod", container(image="a", tty=True), container(image="a"), container(image="a", tty=True),
         container(image="a")),
        ("Pod", container(env=env(A="1", B="2")), container(env=env(A="1")), container(env=env(A="1", B="2", C="3")),
         container(env=env(A="1", C="3"))),
        ("Pod", container(env=[{"name": "A", "value": "1"}]), container(env=[{"name": "A", "valueFrom": {"x": 1}}]),
         container(env=[{"name": "A", "value": "1"}]), container(env=[{"name": "A", "valueFrom": {"x": 1}}])),
        ("Pod", container(args=["a", "b"]), container(args=["b"]), container(args=["a", "b"]), container(args=["b"])),
        # elements, and their order
        ("Pod", {"containers": [A, B]}, {"containers": [B]}, {"containers": [A, B, C]}, {"containers": [B, C]}),
        ("Pod", {"containers": [A]}, {"containers": [A, B]}, {"containers": [A]}, {"containers": [A, B]}),
        ("Pod", {"containers": [A, B]}, {"containers": [B, A]}, {"containers": [A, B]}, {"containers": [B, A]}),
        ("Service", {"ports": [HTTP, HTTPS]}, {"ports": [{**HTTP, "port": 8080}, HTTPS]}, {"ports": [HTTP, HTTPS]},
         {"ports": [{**HTTP, "port": 8080}, HTTPS]}),
        # two elements of one key: a merge would mix them up
        ("Service", {"ports": [UDP]}, {"ports": [UDP, TCP]}, {"ports": [UDP]}, {"ports": [UDP, TCP]}),
        ("Service", {"ports": [UDP, TCP, METRICS]}, {"ports": [UDP, TCP]}, {"ports": [UDP, TCP, METRICS]},
         {"ports": [UDP, TCP]}),
        # a list of this name that does not merge
        ("EndpointSlice", {"ports": [HTTP, HTTPS]}, {"ports": [HTTPS]}, {"ports": [HTTP, HTTPS]}, {"ports": [HTTPS]}),
        # what others have put into a union goes; what is replaced as a whole is sent as a whole
        ("Deployment", {}, {"strategy": {"type": "Recreate"}},
         {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}, {"strategy": {"type": "Recreate"}}),
        ("Pod", {}, {"volumes": [{"name": "v", "emptyDir": {}}]},
         {"volumes": [{"name": "v", "configMap": {"name": "c"}}]},
         {"volumes": [{"name": "v", "emptyDir": {}}]}),
        ("PodDisruptionBudget", {}, {"selector": {"matchLabels": {"a": "1"}}},
         {"selector": {"matchLabels": {"b": "1"}}}, {"selector": {"matchLabels": {"a": "1"}}}),
    ],
)  # fmt: skip
def test_what_becomes_of_a_spec(
    kind: str, last: dict[str, Any], now: dict[str, Any], live: dict[str, Any], becomes: dict[str, Any]
) -> None:
    type_ = SCHEMA.type_of(*KINDS[kind], kind)
    if kind != "EndpointSlice":  # all of whose fields are at the top
        last, now, live, becomes = ({"spec": row} for row in (last, now, live, becomes))
    patch = three_way_patch(last, now, live, type_)
    result = strategic_merge_patch(copy.deepcopy(live), copy.deepcopy(patch), type_)
    assert result == becomes
    assert three_way_patch(now, now, result, type_) == {}


@pytest.mark.parametrize(
    ("now", "live"),
    [
        ({"ports": [UDP, TCP]}, {"ports": [{**UDP, "nodePort": 1}, {**TCP, "nodePort": 1}], "type": "NodePort"}),
        ({"ports": [HTTP]}, {"ports": [{**HTTP, "protocol": "TCP"}, HTTPS]}),
        ({"selector": {}}, {"selector": {}}),
    ],
)
def test_nothing_is_sent_where_all_is_so_whatever_else_there_is(now: dict[str, Any], live: dict[str, Any]) -> None:
    assert three_way_patch({}, {"spec": now}, {"spec": live}, SCHEMA.type_of("", "v1", "Service")) == {}


def test_lists_of_values_that_merge_lose_what_the_manifest_no_longer_has() -> None:
    type_ = SCHEMA.type_of("", "v1", "Pod")
    last, now, live = ({"metadata": {"finalizers": [f"x/{name}" for name in names]}} for names in ("ab", "bc", "abd"))
    patch = three_way_patch(last, now, live, type_)
    assert set(strategic_merge_patch(live, patch, type_)["metadata"]["finalizers"]) == {"x/b", "x/c", "x/d"}


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
    live = merge_patch(copy.deepcopy(last), others)
    result = merge_patch(copy.deepcopy(live), three_way_patch(last, now, live, None))
    assert holds(result, now)
    for way in ways(last):
        assert at(result, way) is _NOTHING or at(now, way) is not _NOTHING
    for way in ways(live):
        if at(last, way) is _NOTHING and isinstance(at(now, way[:-1]), dict):
            assert at(result, way) is not _NOTHING
