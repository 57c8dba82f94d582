"""From a protobuf message to the JSON form of the same object, led by the schema's types."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from knet.api.schema import ListOf, MapOf, Scalar, Struct, Type
from knet.api.wire import WireError, fields, signed
from knet.apiserver.protobuf.fields import messages
from knet.store import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ProtobufError(ValueError):
    """The body is no protobuf message of the expected type."""


def decode(body: bytes, type_: Type) -> Object:
    """The object in an enveloped message (runtime.Unknown); its apiVersion and kind are the envelope's."""
    if not body.startswith(_MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(fields(body[len(_MAGIC) :]))
        meta = {number: _text(value) for number, value in fields(_bytes(envelope.get(1, b"")))}
        value = _message(_bytes(envelope.get(2, b"")), type_)
    except (WireError, UnicodeDecodeError, OverflowError, orjson.JSONDecodeError) as error:
        raise ProtobufError(str(error)) from None
    return {"apiVersion": meta.get(1, ""), "kind": meta.get(2, ""), **value}


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("proto: wrong wireType")
    return value


def _integer(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ProtobufError("proto: wrong wireType")
    return signed(value)


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()


def _message(data: bytes, type_: Type) -> Object:
    if not isinstance(type_, Struct):
        raise ProtobufError("proto: not a message")
    value: Object = {}
    _fill(value, data, type_.name, type_)
    return value


def _fill(value: Object, data: bytes, message: str, struct: Struct) -> None:
    """Read the fields of a message into an object.  What the schema does not know is skipped, as in Go."""
    numbers = messages().get(message) or messages().get(f"{struct.package}.{message}")
    if numbers is None:
        raise ProtobufError(f"{message} is not read from protobuf here: send it as JSON")
    for number, item in fields(data):
        field = numbers.get(number)
        if field is None:
            continue
        name = field.name
        if field.inline:
            _fill(value, _bytes(item), name, struct)
            continue
        type_ = struct.fields.get(name)
        if isinstance(type_, ListOf):
            value.setdefault(name, []).append(_value(item, type_.item))
        elif isinstance(type_, MapOf):
            pair = dict(fields(_bytes(item)))
            value.setdefault(name, {})[_text(pair.get(1, b""))] = _value(pair.get(2, b""), type_.value)
        elif type_ is not None:
            decoded = _value(item, type_)
            if decoded or (field.pointer and decoded is not None):
                value[name] = decoded


def _value(item: int | bytes, type_: Type) -> Any:
    """One value; None for the zero time."""
    if isinstance(type_, Struct):
        return _message(_bytes(item), type_)
    if isinstance(type_, ListOf):  # the value of a map: a message around its items
        return [_value(part, type_.item) for number, part in fields(_bytes(item)) if number == 1]
    if not isinstance(type_, Scalar):
        raise ProtobufError("proto: maps of maps have no message")
    match type_.go_type:
        case "string":
            return _text(item)
        case "bool":
            return bool(_integer(item))
        case "int32" | "int64":
            return _integer(item)
        case "[]uint8":
            return base64.b64encode(_bytes(item)).decode()
        case "v1.Time":
            return _time(_bytes(item))
        case "resource.Quantity":
            return _text(dict(fields(_bytes(item))).get(1, b"")) or "0"
        case "intstr.IntOrString":
            parts = dict(fields(_bytes(item)))
            return _text(parts.get(3, b"")) if parts.get(1) else _integer(parts.get(2, 0))
        case "interface {}":
            raw = _bytes(dict(fields(_bytes(item))).get(1, b""))
            return orjson.loads(raw) if raw else None
    raise ProtobufError(f"{type_.go_type} is not read from protobuf here: send it as JSON")


def _time(data: bytes) -> str | None:
    """Seconds and nanoseconds as RFC 3339; the zero time is an empty message."""
    parts = dict(fields(data))
    if not parts:
        return None
    moment = _EPOCH + timedelta(seconds=_integer(parts.get(1, 0)), microseconds=_integer(parts.get(2, 0)) // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if moment.microsecond else "%Y-%m-%dT%H:%M:%SZ")
