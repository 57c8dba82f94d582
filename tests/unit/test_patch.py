"""The three patch types, by the examples of their specifications."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.patch import PatchError, json_patch, merge_patch
from knet.api.schema import Struct, schema_of
from knet.api.strategic import strategic_merge_patch

SCHEMA = schema_of(
    (("", "v1", "Pod"), ("", "v1", "Service"), ("apps", "v1", "Deployment"), ("policy", "v1", "PodDisruptionBudget"))
)
POD = SCHEMA.type_of("", "v1", "Pod")
SERVICE = SCHEMA.type_of("", "v1", "Service")
DEPLOYMENT = SCHEMA.type_of("apps", "v1", "Deployment")
BUDGET = SCHEMA.type_of("policy", "v1", "PodDisruptionBudget")


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
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
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


REFUSED = object()


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [  # RFC 6902, appendix A, but for A.13, which is no JSON that has one meaning
        ({"foo": "bar"}, [("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [("remove", "/baz")], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [("replace", "/baz", "boo")], {"baz": "boo", "foo": "bar"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [("move", "/foo/waldo", "/qux/thud")],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [("move", "/foo/1", "/foo/3")],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        (
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [("test", "/baz", "qux"), ("test", "/foo/1", 2)],
            {"baz": "qux", "foo": ["a", 2, "c"]},
        ),
        ({"baz": "qux"}, [("test", "/baz", "bar")], REFUSED),
        ({"foo": "bar"}, [("add", "/child", {"grandchild": {}})], {"foo": "bar", "child": {"grandchild": {}}}),
        ({"foo": "bar"}, [("add", "/baz", "qux", {"xyz": 123})], {"foo": "bar", "baz": "qux"}),
        ({"foo": "bar"}, [("add", "/baz/bat", "qux")], REFUSED),
        ({"/": 9, "~1": 10}, [("test", "/~01", 10)], {"/": 9, "~1": 10}),
        ({"/": 9, "~1": 10}, [("test", "/~01", "10")], REFUSED),
        ({"foo": ["bar"]}, [("add", "/foo/-", ["abc", "def"])], {"foo": ["bar", ["abc", "def"]]}),
    ],
    ids=[f"A.{number}" for number in (*range(1, 13), 14, 15, 16)],
)
def test_json_patch_does_as_the_appendix(document: Any, operations: Any, result: Any) -> None:
    rows = []
    for op, path, *more in operations:
        row = {"op": op, "from": path, "path": more[0]} if op == "move" else {"op": op, "path": path}
        rows.append(row | ({"value": more[0]} if more and op != "move" else {}) | (more[1] if len(more) > 1 else {}))
    if result is REFUSED:
        with pytest.raises(PatchError):
            json_patch(document, rows)
    else:
        assert json_patch(document, rows) == result


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ({"op": "add"}, "BadRequest"),
        ([1], "BadRequest"),
        ([{"op": "fly", "path": "/a"}], "Invalid"),
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
            containers({"name": "b"}, {"name": "a"}),
            id="new elements go to the front, as the documentation of kubectl patch shows",
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
            containers({"name": "a"}),
            containers({"$patch": "replace"}, {"name": "c", "image": "1"}, {"name": "c", "image": "2"}),
            containers({"name": "c", "image": "1"}, {"name": "c", "image": "2"}),
            id="by two elements of one key, such as the addresses of a Node, too",
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
            {"metadata": {"finalizers": ["c", "a", "b"]}},
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
            containers({"name": "b"}, {"name": "c"}, {"name": "a"}),
            id="elements come out in the order given, others before those they stood before",
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
        {"spec": {"$deleteFromPrimitiveListfinalizers": ["a"]}},
        {"spec": {"$setElementOrder/containers": {}}},
        {"spec": {"$setElementOrder/nothing": []}},
        {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}},
        containers({"name": "a", "$patch": "merge"}),
        containers({"name": "a", "$patch": "explode"}),
        containers({"$patch": "delete"}),
        containers(["a"]),
        [],
        "text",
    ],
)
def test_a_malformed_strategic_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(PatchError):
        strategic_merge_patch(containers({"name": "a"}), patch, POD)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (containers({"image": "x"}), "map: map[image:x] does not contain declared merge key: name"),
        (containers("x"), "list element types are not identical: [[map[name:a] x]]"),
        ({"spec": {"$patch": "explode"}}, "unknown patch type: explode in map: map[$patch:explode]"),
        ({"spec": {"$retainKeys": "type"}}, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": ["a"], "b": 1}}, "invalid patch format of retainKeys"),
        (
            {"spec": {"$setElementOrder/nothing": []}},
            'unable to find api field in struct PodSpec for the json field "nothing"',
        ),
        (containers({"name": "a", "$patch": "merge"}), "merging lists cannot yet be specified in the patch"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}},
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
    ],
)
def test_strategic_merge_refuses_with_upstreams_words(patch: Any, message: str) -> None:
    with pytest.raises(PatchError) as caught:
        strategic_merge_patch(containers({"name": "a"}), patch, POD)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("type_", "document", "patch", "result"),
    [
        pytest.param(
            DEPLOYMENT,
            {"spec": {"template": {"spec": {"tolerations": [{"key": "dedicated"}]}}}},
            {"spec": {"template": {"spec": {"tolerations": [{"key": "disktype"}]}}}},
            {"spec": {"template": {"spec": {"tolerations": [{"key": "disktype"}]}}}},
            id="kubectl patch, notes on the strategic merge patch: tolerations are replaced",
        ),
        pytest.param(
            DEPLOYMENT,
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
            id="kubectl patch, use strategic merge patch with retainKeys",
        ),
        pytest.param(
            SERVICE,
            {"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}},
            {"spec": {"ports": [{"port": 53, "protocol": "TCP", "name": "dns-tcp"}]}},
            {
                "spec": {
                    "ports": [
                        {"port": 53, "protocol": "TCP", "name": "dns-tcp"},
                        {"port": 53, "protocol": "TCP"},
                    ]
                }
            },
            id="issue 39188: one of two protocols cannot be patched by the port, which is the merge key",
        ),
        pytest.param(
            BUDGET,
            {"spec": {"selector": {"matchLabels": {"a": "1"}}}},
            {"spec": {"selector": {"matchLabels": {"b": "1"}}}},
            {"spec": {"selector": {"matchLabels": {"b": "1"}}}},
            id="the selector of a disruption budget is replaced",
        ),
        pytest.param(
            POD,
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            {"metadata": {"$setElementOrder/finalizers": ["d", "c", "a"], "finalizers": ["d"]}},
            {"metadata": {"finalizers": ["d", "b", "c", "a"]}},
            id="the order of scalars",
        ),
        pytest.param(
            POD,
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}},
            {"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}},
            id="a volume's source is exchanged",
        ),
        pytest.param(
            POD,
            {"spec": {}},
            {"spec": {"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "tty": None}]}},
            {"spec": {"containers": [{"name": "b"}]}},
            id="directives in what is new go away",
        ),
    ],
)
def test_strategic_merge_patch_of_documented_cases(type_: Any, document: Any, patch: Any, result: Any) -> None:
    assert strategic_merge_patch(document, patch, type_) == result


def test_copies_cannot_make_a_document_explode() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(PatchError) as caught:
        json_patch({"a": ["x" * 100]}, doubling)
    assert "the accumulated size increase of copy is" in str(caught.value) and caught.value.reason == "Invalid"


def test_indices_count_from_the_end_and_true_is_not_one() -> None:
    assert json_patch({"a": [1, 2]}, [{"op": "remove", "path": "/a/-1"}]) == {"a": [1]}
    assert json_patch({"a~/": 1}, [{"op": "move", "from": "/a~0~1", "path": "/b"}]) == {"b": 1}
    assert json_patch({}, [{"op": "test", "path": "/none", "value": None}]) == {}
    whole = [{"op": "test", "path": "", "value": {"a": 1}}, {"op": "replace", "path": "", "value": {"b": 2}}]
    assert json_patch({"a": 1}, whole) == {"b": 2}
    with pytest.raises(PatchError):
        json_patch({"a": True}, [{"op": "test", "path": "/a", "value": 1}])


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


def copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


@given(document=_OBJECTS, patch=_OBJECTS)
def test_merging_again_changes_nothing_and_nulls_remove(document: Any, patch: Any) -> None:
    once = merge_patch(copy(document), copy(patch))
    assert merge_patch(copy(once), copy(patch)) == once
    assert merge_patch(copy(document), {}) == document
    for key, value in patch.items():
        assert (key not in once) if value is None else isinstance(value, dict) or once[key] == value


@given(document=_OBJECTS, key=st.text(max_size=3), value=_VALUES)
def test_what_is_added_can_be_tested_copied_moved_and_removed(document: Any, key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    before = {**document, key: value}
    operations = [
        {"op": "add", "path": path, "value": value},
        {"op": "test", "path": path, "value": value},
        {"op": "copy", "from": path, "path": "/copied"},
        {"op": "move", "from": "/copied", "path": "/moved"},
        {"op": "test", "path": "/moved", "value": value},
        {"op": "remove", "path": "/moved"},
    ]
    for name in ("copied", "moved"):
        before.pop(name, None)
    if key not in ("copied", "moved"):
        assert json_patch(copy(document), copy(operations)) == before


def test_the_schema_knows_how_lists_merge() -> None:
    assert isinstance(POD, Struct)
    spec = POD.fields["spec"]
    assert isinstance(spec, Struct)
    assert getattr(spec.fields["containers"], "merge_key", "") == "name"
