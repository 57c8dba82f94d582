"""The formats of strings that schemas of custom resources may name; others are not checked, as upstream.

https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/ (``format``)
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit

_UUID = "[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{}[0-9a-f]{{3}}-?{}[0-9a-f]{{3}}-?[0-9a-f]{{12}}"
_HOST_LABEL = r"[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return holds


def _time(text: str) -> None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text):
        raise ValueError(text)
    datetime.fromisoformat(text.upper())


def _date(text: str) -> None:
    if len(text) != 10:
        raise ValueError(text)
    date.fromisoformat(text)


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    ipaddress.ip_network(text, strict=False)


def _uri(text: str) -> None:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(text)


def _uuid(version: str, variant: str = "[0-9a-f]") -> Callable[[str], bool]:
    return _matches(_UUID.format(version, variant), re.IGNORECASE)


def _luhn(text: str) -> None:
    digits = [int(char) for char in re.sub(r"[- ]", "", text)]
    doubled = [number * 2 - 9 * (number > 4) for number in digits[-2::-2]]
    if not 13 <= len(digits) <= 19 or (sum(digits[::-2]) + sum(doubled)) % 10:
        raise ValueError(text)


def _isbn(text: str) -> None:
    digits = re.sub(r"[- ]", "", text).upper()
    if re.fullmatch(r"\d{9}[\dX]", digits):
        total = sum((10 - place) * (10 if char == "X" else int(char)) for place, char in enumerate(digits)) % 11
    elif re.fullmatch(r"97[89]\d{10}", digits):
        total = sum(int(char) * (3 if place % 2 else 1) for place, char in enumerate(digits)) % 10
    else:
        raise ValueError(text)
    if total:
        raise ValueError(text)


_is_time = _parses(_time)

#: format → whether a text has it
FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _is_time,
    "datetime": _is_time,
    "date": _parses(_date),
    "duration": _matches(r"-?(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w|[a-z]+)\s*)+|-?P(?=.)(\d+[YMWD])*(T(\d+[HMS])+)?"),
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "email": _matches(r"[^@\s<>,;]+@[^@\s<>,;]+"),
    "hostname": _matches(rf"(?=.{{1,255}}$){_HOST_LABEL}(\.{_HOST_LABEL})*\.?"),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(_cidr),
    "mac": _matches(r"([0-9a-fA-F]{2}([:-]))([0-9a-fA-F]{2}\2){4}[0-9a-fA-F]{2}|([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}"),
    "uri": _parses(_uri),
    "uuid": _uuid("[0-9a-f]"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": _parses(_isbn),
    "isbn10": _parses(lambda text: _isbn(text if len(re.sub("[- ]", "", text)) == 10 else "")),
    "isbn13": _parses(lambda text: _isbn(text if len(re.sub("[- ]", "", text)) == 13 else "")),
    "creditcard": _parses(_luhn),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)"),
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "password": lambda _: True,
    "k8s-short-name": _matches("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
    "k8s-long-name": _matches(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"),
}

#: formats of numbers: they are known, so that nobody is warned of them
NUMERIC = ("int32", "int64", "float", "double")
