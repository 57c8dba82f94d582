"""Field sets, and what applies and updates do to objects and their managers (KEP-555), as pure functions."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knet.api.fields import managers, sets
from knet.api.fields.client_side import apply_as_kubectl
from knet.api.fields.elements import display
from knet.api.fields.managers import Conflicts, Managed, Manager, Write
from knet.api.fields.merging import NotTyped, check, merge, remove
from knet.api.fields.reading import applied, compare
from knet.api.schema import OPAQUE, STRING, ListOf, MapOf, Struct, Type, schema_of

SCHEMA = schema_of((("", "v1", "Pod"), ("apps", "v1", "Deployment"), ("", "v1", "Service")))
POD = SCHEMA.type_of("", "v1", "Pod")
DEPLOYMENT = SCHEMA.type_of("apps", "v1", "Deployment")
STATUS = frozenset([("status",)])

JSON = dict[str, Any]


def write(manager: str, type_: Type = POD, time: str = "2025-01-01T00:00:00Z", subresource: str = "") -> Write:
    version = "apps/v1" if type_ is DEPLOYMENT else "v1"
    return Write(type_, manager, version, subresource, STATUS, time)


def copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


class World:
    """One object and its managers."""

    def __init__(self, type_: Type = POD) -> None:
        self.type = type_
        self.value: JSON = {}
        self.managed: Managed = {}

    def apply(self, manager: str, config: JSON, force: bool = False, time: str = "2025-01-01T00:00:00Z") -> "World":
        merged = apply_as_kubectl(self.managed, write(manager, self.type, time), copy(self.value), copy(config), force)
        self.value, self.managed = copy(merged.value), merged.managed
        return self

    def update(self, manager: str, value: JSON, subresource: str = "", time: str = "2025-01-01T00:00:00Z") -> "World":
        how = write(manager, self.type, time, subresource)
        if self.value:
            self.managed = managers.updated(self.managed, how, self.value, value)
        else:
            self.managed = managers.created(how, value)
        self.value = copy(value)
        return self

    def owned(self, manager: str, operation: str = "Apply") -> list[str]:
        """The paths of a manager, as people read them."""
        return [
            display(path)
            for who, entry in self.managed.items()
            if (who.name, who.operation) == (manager, operation)
            for path in sets.paths(entry.fields)
        ]


def pod(*containers: JSON, **labels: str) -> JSON:
    value: JSON = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    if labels:
        value["metadata"]["labels"] = labels
    if containers:
        value["spec"] = {"containers": list(containers)}
    return value


# ---- the algebra -----------------------------------------------------------------------------------------

_PATHS = st.sets(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"']), min_size=1, max_size=4).map(tuple)
)


def trie(paths: set[tuple[str, ...]]) -> sets.Fields:
    found: sets.Fields = {}
    for path in paths:
        one: sets.Fields = sets.LEAF
        for element in reversed(path):
            one = {element: one}
        found = sets.union(found, one)
    return found


@given(one=_PATHS, other=_PATHS)
def test_sets_of_paths_behave_like_sets(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> None:
    left, right = trie(one), trie(other)
    before = copy([left, right])
    assert set(sets.paths(left)) == one
    assert set(sets.paths(sets.union(left, right))) == one | other
    assert set(sets.paths(sets.intersection(left, right))) == one & other
    assert sets.difference(left, right) == trie(one - other)
    assert sets.intersection(left, right) == trie(one & other)
    assert all(sets.has(left, *path) == (path in one) for path in one | other)
    assert [left, right] == before


@given(one=_PATHS, other=_PATHS)
def test_managers_survive_the_wire(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> None:
    managed = {
        Manager("a", "Apply"): managers.Entry(trie(one), "v1", "2025-01-01T00:00:00Z"),
        Manager("b", "Update", "v1", "status"): managers.Entry(trie(other), "v1"),
    }
    entries = copy(managers.encode(managed))
    assert managers.decode(entries) == managed == managers.decode_foreign(entries)


def test_entries_of_clients_are_spelled_as_ours() -> None:
    fields = {"f:spec": {'k:{"b": 1, "a":"<x>"}': {".": {}, "f:c": {}}}, "x:unknown": {}}
    entry = {"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    (found,) = managers.decode_foreign([entry]).values()
    assert found.fields == {"f:spec": {'k:{"a":"\\u003cx\\u003e","b":1}': {".": {}, "f:c": {}}}}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"operation": "Delete"}, "operation must be `Apply` or `Update`"),
        ({"operation": "Apply"}, "apiVersion must not be empty"),
        ({"operation": "Apply", "apiVersion": "v1"}, "missing fieldsType in managed fields entry 0"),
        (
            {"operation": "Apply", "apiVersion": "v1", "fieldsType": "V2"},
            'invalid fieldsType "V2" in managed fields entry 0',
        ),
        (
            {"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"spec": {}}},
            "error decoding set: missing colon: spec",
        ),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: JSON, message: str) -> None:
    with pytest.raises(managers.BadEntries) as caught:
        managers.decode_foreign([entry])
    assert str(caught.value) == message


# ---- golden: what upstream shows for the same objects ----------------------------------------------------


def test_a_creator_owns_all_it_sets_but_what_go_always_has() -> None:
    value = {
        "metadata": {"name": "web", "labels": {"app": "web"}, "uid": "1"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                    "securityContext": {},
                },
            },
        },
        "status": {"replicas": 1},
    }
    (entry,) = managers.encode(World(DEPLOYMENT).update("kubectl-create", value).managed)
    port = 'k:{"containerPort":80,"protocol":"TCP"}'
    ports = {".": {}, port: {".": {}, "f:containerPort": {}, "f:protocol": {}}}
    template = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:containers": {'k:{"name":"nginx"}': {".": {}, "f:name": {}, "f:ports": ports}},
            "f:securityContext": {},
        },
    }
    assert entry == {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": "2025-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:selector": {},
                "f:strategy": {"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}}},
                "f:template": template,
            },
        },
    }


def test_an_applier_owns_leaves_elements_and_keys() -> None:
    world = World().apply("me", pod({"name": "a", "image": "x", "env": [{"name": "K", "value": ""}]}, app="web"))
    assert world.owned("me") == [
        ".metadata.labels.app",
        '.spec.containers[name="a"]',
        '.spec.containers[name="a"].image',
        '.spec.containers[name="a"].name',
        '.spec.containers[name="a"].env[name="K"]',
        '.spec.containers[name="a"].env[name="K"].name',
        '.spec.containers[name="a"].env[name="K"].value',
    ]


def test_a_key_that_is_left_out_has_its_default() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    owned = World().apply("me", pod({"name": "a", "ports": ports})).owned("me")
    assert '.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort' in owned
    assert '.spec.containers[name="a"].ports[containerPort=80,protocol="UDP"].protocol' in owned


# ---- conflicts -------------------------------------------------------------------------------------------


def test_another_value_for_what_somebody_owns_is_a_conflict() -> None:
    world = World().apply("one", pod({"name": "a", "image": "1"}, app="web"))
    with pytest.raises(Conflicts) as caught:
        world.apply("two", pod({"name": "a", "image": "2"}))
    assert str(caught.value) == ('Apply failed with 1 conflict: conflict with "one": .spec.containers[name="a"].image')
    assert caught.value.causes == [('conflict with "one"', '.spec.containers[name="a"].image')]
    with pytest.raises(Conflicts) as caught:
        world.apply("two", pod({"name": "a", "image": "2"}, app="other"))
    assert str(caught.value) == (
        'Apply failed with 2 conflicts: conflicts with "one":\n'
        '- .metadata.labels.app\n- .spec.containers[name="a"].image'
    )


def test_a_conflict_with_an_update_names_version_and_subresource() -> None:
    world = World().update("editor", pod({"name": "a", "image": "1"}))
    with pytest.raises(Conflicts) as caught:
        world.apply("me", pod({"name": "a", "image": "2"}))
    assert 'conflict with "editor" using v1: ' in str(caught.value)
    world = World(DEPLOYMENT).update("a", {"metadata": {}, "spec": {"replicas": 1}})
    world.update("b", {"metadata": {}, "spec": {"replicas": 2}}, subresource="scale")
    with pytest.raises(Conflicts) as caught:
        world.apply("me", {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}})
    assert str(caught.value) == (
        'Apply failed with 1 conflict: conflict with "b" with subresource "scale" using apps/v1: .spec.replicas'
    )


def test_force_takes_and_sharing_needs_none() -> None:
    world = World().apply("one", pod({"name": "a", "image": "1"})).apply("two", pod({"name": "a", "image": "1"}))
    image = '.spec.containers[name="a"].image'
    assert image in world.owned("one") and image in world.owned("two")
    world.apply("two", pod({"name": "a", "image": "2"}), force=True)
    assert image not in world.owned("one") and image in world.owned("two")
    assert world.value["spec"]["containers"] == [{"name": "a", "image": "2"}]


# ---- what goes -------------------------------------------------------------------------------------------


def test_what_is_no_longer_applied_goes_unless_it_is_somebody_elses() -> None:
    world = World().apply("one", pod({"name": "a", "image": "1"}, x="1", y="1"))
    world.apply("two", pod({"name": "a"}, y="1"))
    world.apply("one", pod(z="1"))
    assert world.value["metadata"]["labels"] == {"y": "1", "z": "1"}
    # two has named the container: it stays, without the image that was only one's
    assert world.value["spec"]["containers"] == [{"name": "a"}]
    world.apply("two", pod(y="1"))
    assert not (world.value.get("spec") or {}).get("containers")


def test_an_element_goes_with_its_applier_whatever_others_have_put_into_it() -> None:
    world = World().apply("one", pod({"name": "a", "image": "1"}, {"name": "b"}))
    value = copy(world.value)
    value["spec"]["containers"][0]["tty"] = True
    world.update("editor", value).apply("one", pod({"name": "b"}))
    assert world.value["spec"]["containers"] == [{"name": "b"}]
    assert world.owned("editor", "Update") == []


def test_what_an_updater_has_added_to_a_map_stays() -> None:
    world = World().apply("one", pod(a="1", b="1"))
    value = copy(world.value)
    value["metadata"]["labels"]["c"] = "1"
    world.update("editor", value).apply("one", pod(a="1"))
    assert world.value["metadata"]["labels"] == {"a": "1", "c": "1"}


def test_an_update_takes_over_what_it_changes_and_frees_what_it_removes() -> None:
    world = World().apply("one", pod({"name": "a", "image": "1"}, app="web", tier="x"))
    value = copy(world.value)
    value["metadata"]["labels"] = {"app": "other"}
    world.update("editor", value)
    assert world.owned("editor", "Update") == [".metadata.labels.app"]
    assert ".metadata.labels.app" not in world.owned("one") and ".metadata.labels.tier" not in world.owned("one")
    before = world.managed
    assert world.update("editor", copy(world.value), time="2026-01-01T00:00:00Z").managed is before


def test_an_element_that_is_there_twice_is_owned_as_a_whole() -> None:
    doubled = pod({"name": "a", "env": [{"name": "K", "value": "1"}, {"name": "K", "value": "2"}]})
    world = World().update("editor", doubled)
    env = '.spec.containers[name="a"].env[name="K"]'
    assert env in world.owned("editor", "Update") and f"{env}.value" not in world.owned("editor", "Update")
    with pytest.raises(NotTyped) as caught:
        check(POD, doubled)
    assert str(caught.value) == f'{env[:-10]}: duplicate entries for key [name="K"]'


def test_an_object_without_managers_belongs_to_before_first_apply() -> None:
    world = World().update("editor", pod({"name": "a", "image": "1"}))
    world.managed = {}
    world.update("editor", pod({"name": "a", "image": "2"}))
    assert world.managed == {}
    with pytest.raises(Conflicts) as caught:
        world.apply("me", pod({"name": "a", "image": "3"}))
    assert 'conflict with "before-first-apply" using v1' in str(caught.value)
    world.apply("me", pod({"name": "a", "image": "2"}))
    assert '.spec.containers[name="a"].image' in world.owned("before-first-apply", "Update")


def test_only_ten_updaters_are_remembered() -> None:
    world = World().update("first", pod(l="x"))
    for number in range(14):
        value = copy(world.value)
        value["metadata"].setdefault("labels", {})[f"l{number}"] = "x"
        world.update(f"m{number:02}", value, time=f"2025-01-01T00:00:{number:02}Z")
    names = [manager.name for manager in world.managed]
    assert len(names) == 10 and "ancient-changes" in names and "m13" in names and "m00" not in names
    assert len(world.owned("ancient-changes", "Update")) == 7  # six labels, and that there are labels


def test_no_op_applies_keep_their_time() -> None:
    world = World().apply("me", pod(app="web"))
    world.apply("me", pod(app="web"), time="2026-01-01T00:00:00Z")
    assert [entry.time for entry in world.managed.values()] == ["2025-01-01T00:00:00Z"]
    world.apply("me", pod(app="two"), time="2026-01-01T00:00:00Z")
    assert [entry.time for entry in world.managed.values()] == ["2026-01-01T00:00:00Z"]


# ---- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"spec": {"foo": 1}}, ".spec.foo: field not declared in schema"),
        ({"spec": {"containers": {}}}, ".spec.containers: expected list, got &{map[]}"),
        ({"spec": []}, ".spec: expected map, got &{[]}"),
        ({"spec": {"hostNetwork": "yes"}}, '.spec.hostNetwork: expected boolean, got &{"yes"}'),
        ({"spec": {"priority": "1"}}, ".spec.priority: expected numeric (int or float), got string"),
        (
            {"spec": {"containers": [{}]}},
            ".spec.containers: element 0: associative list with keys has an element that omits all key fields"
            ' ["name"] (and doesn\'t have default values for any key fields)',
        ),
        (
            {"spec": {"a": 1, "b": 2}},
            "errors:\n  .spec.a: field not declared in schema\n  .spec.b: field not declared in schema",
        ),
    ],
)
def test_what_does_not_fit_the_schema_cannot_be_applied(value: JSON, message: str) -> None:
    with pytest.raises(NotTyped) as caught:
        check(POD, value)
    assert str(caught.value) == message


def struct(**fields: Type) -> Struct:
    found = Struct("Custom", rest=OPAQUE)
    found.fields.update(fields)
    return found


def test_fields_that_no_schema_knows_are_granular_objects_and_atomic_lists() -> None:
    type_ = struct(spec=struct())
    fields = applied(type_, {"spec": {"free": {"a": 1, "b": [1]}}})
    assert fields == {"f:spec": {"f:free": {".": {}, "f:a": {}, "f:b": {}}}}
    assert merge(type_, {"spec": {"free": {"a": 1}}}, {"spec": {"free": {"b": [2]}}}) == {
        "spec": {"free": {"a": 1, "b": [2]}}
    }


def test_atomic_maps_and_lists_have_one_owner() -> None:
    type_ = struct(selector=MapOf(STRING, atomic=True), names=ListOf(STRING), tags=ListOf(STRING, list_type="set"))
    old = {"selector": {"a": "1"}, "names": ["a"], "tags": ["a"]}
    new = {"selector": {"a": "1", "b": "2"}, "names": ["a", "b"], "tags": ["a", "b"]}
    added, modified, removed = compare(type_, old, new)
    assert (added, modified, removed) == ({"f:tags": {'v:"b"': {}}}, {"f:selector": {}, "f:names": {}}, {})
    assert merge(type_, old, {"tags": ["c"], "names": ["c"]}) == {**old, "tags": ["a", "c"], "names": ["c"]}


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("a b c", "b", "a b c"),
        ("a b c", "c a", "b c a"),
        ("a b", "b a c", "b a c"),
        ("x a y b", "b a", "x y b a"),
        ("", "b a", "b a"),
        ("a", "n a m", "n a m"),
    ],
)
def test_a_merged_list_has_the_configured_order(live: str, config: str, merged: str) -> None:
    type_ = ListOf(STRING, list_type="set")
    assert merge(type_, live.split(), config.split()) == merged.split()


def test_removing_takes_fields_elements_and_whole_maps() -> None:
    value = pod({"name": "a", "image": "1"}, {"name": "b"}, app="web")
    fields = {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:containers": {'k:{"name":"b"}': {}}}}
    left = remove(POD, value, fields)
    assert left["metadata"]["labels"] is None
    assert left["spec"]["containers"] == [{"name": "a", "image": "1"}]


# ---- from client-side apply ------------------------------------------------------------------------------


def client_side(config: JSON) -> World:
    """An object that kubectl has applied on the client's side."""
    note = {"kubectl.kubernetes.io/last-applied-configuration": orjson.dumps(config).decode()}
    value = {**config, "metadata": {**config["metadata"], "annotations": note}}
    return World().update("kubectl-client-side-apply", value)


def test_kubectl_takes_over_from_its_annotation_and_keeps_it() -> None:
    world = client_side(pod({"name": "a", "image": "1"}))
    world.apply("kubectl", pod({"name": "a", "image": "2"}))
    note = world.value["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert orjson.loads(note) == pod({"name": "a", "image": "2"}) and note.endswith("}\n")
    assert '.spec.containers[name="a"].image' not in world.owned("kubectl-client-side-apply", "Update")


def test_others_do_not_take_over_from_the_annotation() -> None:
    with pytest.raises(Conflicts):
        client_side(pod({"name": "a", "image": "1"})).apply("helm", pod({"name": "a", "image": "2"}))


def test_what_was_changed_since_the_annotation_is_a_conflict() -> None:
    world = client_side(pod({"name": "a", "image": "1"}))
    value = copy(world.value)
    value["spec"]["containers"][0]["image"] = "9"
    world.update("editor", value)
    with pytest.raises(Conflicts) as caught:
        world.apply("kubectl", pod({"name": "a", "image": "2"}))
    assert 'conflict with "editor" using v1' in str(caught.value)


# ---- laws ------------------------------------------------------------------------------------------------


def configurations(prefix: str = "") -> st.SearchStrategy[JSON]:
    """Configurations of Pods without anything empty; those of different prefixes have no fields in common."""
    names = st.sampled_from([f"{prefix}x", f"{prefix}y", f"{prefix}z"])

    def some(rows: st.SearchStrategy[JSON], key: str) -> st.SearchStrategy[list[JSON]]:
        return st.lists(rows, min_size=1, max_size=3, unique_by=lambda row: repr(row[key]))

    env = some(st.fixed_dictionaries({"name": names}, optional={"value": st.sampled_from("12")}), "name")
    ports = some(st.fixed_dictionaries({"containerPort": st.integers(80, 82)}), "containerPort")
    image = st.sampled_from("12")
    container = st.fixed_dictionaries({"name": names}, optional={"image": image, "env": env, "ports": ports})
    labels = st.dictionaries(names, st.sampled_from("12"), min_size=1, max_size=3)
    finalizers = st.lists(names, unique=True, min_size=1, max_size=2)
    metadata = st.fixed_dictionaries({"name": st.just("web"), "labels": labels}, optional={"finalizers": finalizers})
    spec = st.fixed_dictionaries({"containers": some(container, "name")})
    return st.fixed_dictionaries(
        {"apiVersion": st.just("v1"), "kind": st.just("Pod"), "metadata": metadata}, optional={"spec": spec}
    )


def unordered(value: Any) -> Any:
    """Without the order of lists, and without what is empty."""
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := unordered(item))}
    if isinstance(value, list):
        return sorted(
            (unordered(item) for item in value), key=lambda item: orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        )
    return value


CONFIGS = configurations()


@given(one=CONFIGS, two=CONFIGS)
def test_applying_again_changes_nothing(one: JSON, two: JSON) -> None:
    world = World().apply("one", one).apply("two", two, force=True)
    value, managed = copy(world.value), world.managed
    world.apply("two", two, force=True, time="2026-01-01T00:00:00Z")
    assert (world.value, world.managed) == (value, managed)


@given(one=configurations("a"), two=configurations("b"))
def test_managers_of_different_fields_commute(one: JSON, two: JSON) -> None:
    first = World().apply("one", one).apply("two", two)
    second = World().apply("two", two).apply("one", one)
    assert unordered(first.value) == unordered(second.value)
    assert first.managed.keys() == second.managed.keys()
    assert {who: entry.fields for who, entry in first.managed.items()} == {
        who: entry.fields for who, entry in second.managed.items()
    }


@given(history=st.lists(st.tuples(st.sampled_from("abc"), CONFIGS), min_size=1, max_size=5))
def test_who_applies_by_force_owns_what_they_say_and_it_is_so(history: list[tuple[str, JSON]]) -> None:
    world = World()
    for manager, config in history:
        world.apply(manager, config, force=True)
        stated = managers.stated(write(manager), config)
        assert (
            sets.difference(stated, world.managed.get(Manager(manager, "Apply"), managers.Entry({}, "")).fields) == {}
        )
        there = managers.stated(write(""), world.value)
        assert sets.difference(stated, there) == {}
        _, modified, _ = compare(POD, managers.tracked(config, STATUS), managers.tracked(world.value, STATUS))
        assert sets.intersection(modified, stated) == {}


@given(one=CONFIGS, two=CONFIGS)
def test_the_only_applier_gets_what_it_last_applied(one: JSON, two: JSON) -> None:
    assert unordered(World().apply("me", one).apply("me", two).value) == unordered(two)


@given(old=CONFIGS, new=CONFIGS)
def test_a_comparison_accounts_for_every_field(old: JSON, new: JSON) -> None:
    before, after = managers.tracked(old, STATUS), managers.tracked(new, STATUS)
    added, modified, removed = compare(POD, before, after)
    there, gone = managers.stated(write(""), new), managers.stated(write(""), old)
    assert sets.intersection(added, gone) == {} and sets.intersection(removed, there) == {}
    assert sets.difference(sets.difference(there, gone), sets.union(added, modified)) == {}
    assert compare(POD, before, before) == ({}, {}, {})
