"""The three patch types, by the examples of their specifications."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.patch import PatchError, json_patch, merge_patch, strategic_merge_patch
from knet.api.schema import Struct, schema_of

KINDS = (("", "v1", "Pod"), ("apps", "v1", "Deployment"))
POD = schema_of(KINDS).type_of("", "v1", "Pod")
DEPLOYMENT = schema_of(KINDS).type_of("apps", "v1", "Deployment")


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch(document, patch) == result


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/b", "value": 1}], {"a": [1, 2], "b": 1}),
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ([{"op": "test", "path": "/a/0", "value": 1}, {"op": "replace", "path": "/a", "value": []}], {"a": []}),
        ([{"op": "copy", "from": "/a/0", "path": "/c"}], {"a": [1, 2], "c": 1}),
        ([{"op": "move", "from": "/a", "path": "/c"}], {"c": [1, 2]}),
    ],
)
def test_json_patch_follows_the_rfc(operations: Any, result: Any) -> None:
    assert json_patch({"a": [1, 2]}, operations) == result


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ({"op": "add"}, "BadRequest"),
        ([1], "BadRequest"),
        ([{"op": "fly", "path": "/a"}], "BadRequest"),
        ([{"op": "add", "path": 1}], "BadRequest"),
        ([{"op": "remove", "path": "/none"}], "Invalid"),
        ([{"op": "test", "path": "/a/0", "value": 9}], "Invalid"),
        ([{"op": "add", "path": "/a/0/x/y", "value": 9}], "Invalid"),
        ([{"op": "replace", "path": "", "value": 9}], "Invalid"),
        ([{"op": "test", "path": "/a", "value": [1, 2]}] * 10_001, "TooLarge"),
    ],
)
def test_json_patch_says_whether_it_is_malformed_or_does_not_fit(operations: Any, reason: str) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch({"a": [1, 2]}, operations)
    assert caught.value.reason == reason


def containers(*rows: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(rows)}}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        pytest.param(
            containers({"name": "a", "image": "1"}, {"name": "b", "image": "1"}),
            containers({"name": "b", "image": "2"}),
            containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"}),
            id="elements are found by their merge key",
        ),
        pytest.param(
            containers({"name": "a"}),
            containers({"name": "b"}),
            containers({"name": "a"}, {"name": "b"}),
            id="new elements go to the end",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}),
            containers({"name": "b"}),
            id="an element is deleted by name",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}),
            containers({"$patch": "replace"}, {"name": "c"}),
            containers({"name": "c"}),
            id="a list is replaced as a whole",
        ),
        pytest.param(
            containers({"name": "a", "args": ["x", "y"]}),
            containers({"name": "a", "args": ["z"]}),
            containers({"name": "a", "args": ["z"]}),
            id="lists without a merge strategy are replaced",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c", "a"]}},
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            id="lists of scalars that merge are unions",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            id="scalars are deleted from lists",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": [{"uid": "1", "name": "x"}, {"uid": "2", "name": "y"}]}},
            {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "1"}]}},
            {"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}]}},
            id="owners are found by uid",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None, "c": "3"}}},
            {"metadata": {"labels": {"b": "2", "c": "3"}}},
            id="null deletes a key",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1"}}},
            {"metadata": {"labels": {"$patch": "replace", "c": "3"}}},
            {"metadata": {"labels": {"c": "3"}}},
            id="a map is replaced as a whole",
        ),
        pytest.param(
            {"spec": {"nodeSelector": {"a": "1"}}},
            {"spec": {"nodeSelector": {"$patch": "delete"}}},
            {"spec": {"nodeSelector": {}}},
            id="a map is emptied",
        ),
        pytest.param(
            containers({"name": "a"}, {"name": "b"}, {"name": "c"}),
            {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]}},
            containers({"name": "c"}, {"name": "b"}, {"name": "a"}),
            id="elements come out in the order given, others stay in their places",
        ),
        pytest.param(
            {"spec": {}},
            {"spec": {"affinity": {"nodeAffinity": None}}},
            {"spec": {"affinity": {}}},
            id="nulls in what is new go away",
        ),
    ],
)
def test_strategic_merge_patch(document: Any, patch: Any, result: Any) -> None:
    assert strategic_merge_patch(document, patch, POD) == result


def test_retain_keys_drops_what_the_patch_does_not_name() -> None:
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(document, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    "patch",
    [
        containers({"image": "no name"}),
        containers("text"),
        {"spec": {"$patch": "explode"}},
        {"spec": {"$retainKeys": "type"}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
        [],
        "text",
    ],
)
def test_a_malformed_strategic_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(PatchError):
        strategic_merge_patch(containers({"name": "a"}), patch, POD)


_KEYS = st.sampled_from(
    ["spec", "metadata", "containers", "name", "labels", "$patch", "$retainKeys", "finalizers", "ports", "op", "path",
     "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "value", "containerPort"]
)  # fmt: skip
_LEAVES = st.none() | st.booleans() | st.integers(-5, 99) | st.sampled_from(["a", "replace", "delete", "merge", "/a/0"])
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=25
)
_OBJECTS = st.dictionaries(_KEYS, _VALUES, max_size=4)


@given(document=_OBJECTS, patch=_VALUES)
def test_no_patch_does_anything_but_apply_or_be_refused(document: Any, patch: Any) -> None:
    for apply in (json_patch, lambda old, new: strategic_merge_patch(old, new, POD)):
        try:
            assert isinstance(apply(orjson.loads(orjson.dumps(document)), orjson.loads(orjson.dumps(patch))), dict)
        except PatchError:
            pass


def test_the_schema_knows_how_lists_merge() -> None:
    assert isinstance(POD, Struct)
    spec = POD.fields["spec"]
    assert isinstance(spec, Struct)
    assert getattr(spec.fields["containers"], "merge_key", "") == "name"
