"""Protobuf bodies come out as the JSON that the same client would have sent."""

from typing import Any

import pytest

from knet.api.schema import ListOf, MapOf, Struct, schema_of
from knet.api.wire import encode
from knet.apiserver.kinds import schema_kinds
from knet.apiserver.protobuf import ProtobufError, decode
from knet.apiserver.protobuf.fields import Message, messages

SCHEMA = schema_of(schema_kinds())

#: what ``kubectl create configmap c --from-literal=a=b`` sends (1.32), byte by byte
CONFIG_MAP = bytes.fromhex(
    "6b3873000a0f0a02763112" + "09436f6e6669674d6170"
    "121b0a110a01631200" + "1a0022002a00320038004200"
    "12060a016112016" + "21a002200"
)


def number(field_number: int, value: int) -> bytes:
    """A varint field."""
    out = bytearray([field_number << 3])
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*parts: bytes) -> bytes:
    return b"".join(parts)


def enveloped(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + encode(1, encode(1, api_version) + encode(2, kind)) + encode(2, raw) + encode(3, "")


def read(group: str, version: str, kind: str, raw: bytes) -> dict[str, Any]:
    value = decode(enveloped(f"{group}/{version}".lstrip("/"), kind, raw), SCHEMA.type_of(group, version, kind))
    assert value.pop("kind") == kind
    value.pop("apiVersion")
    return value


def test_what_kubectl_sends_is_understood() -> None:
    assert decode(CONFIG_MAP, SCHEMA.type_of("", "v1", "ConfigMap")) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"a": "b"},
    }


def test_zero_structs_go_away_and_pointers_to_zero_stay() -> None:
    metadata = encode(1, encode(1, "web") + encode(8, b""))
    spec = encode(2, number(1, 0) + number(5, 0) + number(7, 0) + encode(4, encode(1, "")))
    assert read("apps", "v1", "Deployment", metadata + spec + encode(3, number(1, 0))) == {
        "metadata": {"name": "web"},
        "spec": {"replicas": 0},
    }


def test_special_types_have_their_json_form() -> None:
    limits = encode(1, encode(1, "cpu") + encode(2, encode(1, "100m")))
    probe = encode(1, encode(2, encode(1, "/") + encode(2, number(1, 1) + number(2, 0) + encode(3, "http")))) + number(
        2, 3
    )
    key = encode(3, encode(1, encode(1, "settings")) + encode(2, "k"))
    container = message(
        encode(1, "c"),
        encode(3, "sh"),
        encode(3, "-c"),
        encode(7, encode(1, "A") + encode(3, key)),
        encode(8, limits),
        encode(11, probe),
    )
    volume = encode(1, "v") + encode(2, encode(2, b""))
    security = number(2, -1)
    spec = (
        encode(1, volume)
        + encode(2, container)
        + encode(14, security)
        + encode(7, encode(1, "disk") + encode(2, "ssd"))
    )
    value = read("", "v1", "Pod", encode(1, encode(8, number(1, 1_700_000_000))) + encode(2, spec))
    assert value == {
        "metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"},
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [
                {
                    "name": "c",
                    "command": ["sh", "-c"],
                    "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}}],
                    "resources": {"limits": {"cpu": "100m"}},
                    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 3},
                }
            ],
            "securityContext": {"runAsUser": -1},
            "nodeSelector": {"disk": "ssd"},
        },
    }


def test_bytes_times_and_raw_json() -> None:
    secret = read("", "v1", "Secret", encode(2, encode(1, "a") + encode(2, b"\x00\xff")))
    assert secret == {"data": {"a": "AP8="}}
    lease = read(
        "coordination.k8s.io", "v1", "Lease", encode(2, encode(4, number(1, 1_700_000_000) + number(2, 5_000_000)))
    )
    assert lease == {"spec": {"renewTime": "2023-11-14T22:13:20.005000Z"}}
    revision = read("apps", "v1", "ControllerRevision", encode(2, encode(1, b'{"a":[1]}')) + number(3, 4))
    assert revision == {"data": {"a": [1]}, "revision": 4}


def test_ports_of_endpoints_and_of_slices_are_different_messages() -> None:
    ports = encode(1, "http") + encode(2, "TCP") + number(3, 80)
    assert read("discovery.k8s.io", "v1", "EndpointSlice", encode(3, ports)) == {
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}]
    }
    ports = encode(1, "http") + number(2, 80) + encode(3, "TCP")
    assert read("", "v1", "Endpoints", encode(2, encode(3, ports))) == {
        "subsets": [{"ports": [{"name": "http", "protocol": "TCP", "port": 80}]}]
    }


def test_fields_of_a_later_release_are_skipped() -> None:
    assert read("", "v1", "ConfigMap", encode(2, encode(1, "a") + encode(2, "b")) + encode(99, "new")) == {
        "data": {"a": "b"}
    }


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"k8s\x00\x0a\xff",
        enveloped("v1", "Pod", b"\x0a\x05ab"),
        enveloped("v1", "Pod", number(2, 7)),
        enveloped("v1", "Pod", b"\x0b"),
        enveloped("v1", "Pod", encode(1, encode(1, b"\xff"))),
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ProtobufError):
        decode(body, SCHEMA.type_of("", "v1", "Pod"))


def test_numbers_go_on_from_where_a_gap_ends() -> None:
    names = {number: field.name for number, field in messages()["ObjectMeta"].items()}
    assert {17: "managedFields", 14: "finalizers", 1: "name"}.items() <= names.items()
    assert 5 not in messages()["ManagedFieldsEntry"]


#: served, but of no client that speaks protobuf about them
_JSON_ONLY = ("apiextensions.k8s.io", "apiregistration.k8s.io", "metrics.k8s.io")


@pytest.mark.parametrize("kind", [row for row in schema_kinds() if row[0] not in _JSON_ONLY], ids=str)
def test_every_field_of_every_kind_has_its_number(kind: tuple[str, str, str]) -> None:
    waiting: list[Any] = [SCHEMA.type_of(*kind)]
    seen: set[int] = set()
    while waiting:
        type_ = waiting.pop()
        if id(type_) in seen:
            continue
        seen.add(id(type_))
        if isinstance(type_, Struct):
            known = messages().get(type_.name) or messages()[f"{type_.package}.{type_.name}"]
            assert set(type_.fields) - {"apiVersion", "kind"} <= names_of(known), type_.name
            waiting += type_.fields.values()
        elif isinstance(type_, ListOf):
            waiting.append(type_.item)
        elif isinstance(type_, MapOf):
            waiting.append(type_.value)


def names_of(message: Message) -> set[str]:
    """The JSON fields of a message, with those of the messages that stand in it."""
    rows = message.values()
    plain = {row.name for row in rows if not row.inline}
    return plain.union(*(names_of(messages()[row.name]) for row in rows if row.inline))
