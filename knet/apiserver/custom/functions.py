"""Kubernetes' additions to the Common Expression Language, as far as validation rules use them.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library and what follows there.

Quantities are numbers here, and URLs and addresses their texts: so they compare as one expects, while the type of an
expression is not checked.  indexOf of lists is missing: the runtime declares that name for texts.
"""

import ipaddress
import re
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import re2

from knet.api.quantity import parse_quantity
from knet.apiserver.custom.formats import FORMATS


def _is_sorted(values: list[Any]) -> bool:
    return all(left <= right for left, right in pairwise(values))


def _find(text: str, pattern: str) -> str:
    match = re2.search(pattern, text)
    return str(match[0]) if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re2.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _holds(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return holds


def _is_url(text: str) -> bool:
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text) is not None or text.startswith("/")


def _url(text: str) -> str:
    if not _is_url(text):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return text


def _quantity(text: str) -> float:
    return float(parse_quantity(text))


def _network(text: str) -> "ipaddress.IPv4Network | ipaddress.IPv6Network":
    return ipaddress.ip_network(text, strict=False)


def _contains(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in _network(network)


def _contains_network(network: str, other: str) -> bool:
    outer, inner = _network(network), _network(other)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one version


def _compare(left: float, right: float) -> int:
    return (left > right) - (left < right)


def _format_problems(name: str, text: str) -> list[str]:
    holds = FORMATS.get(name)
    return [] if holds is None or holds(text) else [f"{text} is not a valid {name}"]


def _port(text: str) -> str:
    return str(urlsplit(text).port or "")


#: name → (member or not, parameters, result, function), one row per overload
_ROWS: tuple[tuple[str, bool, str, str, Any], ...] = (
    ("isSorted", True, "list", "bool", _is_sorted),
    ("sum", True, "list", "dyn", sum),
    ("min", True, "list", "dyn", min),
    ("max", True, "list", "dyn", max),
    ("find", True, "string string", "string", _find),
    ("findAll", True, "string string", "list", _find_all),
    ("findAll", True, "string string int", "list", _find_all),
    ("isURL", False, "string", "bool", _is_url),
    ("url", False, "string", "string", _url),
    ("getScheme", True, "string", "string", lambda text: urlsplit(text).scheme),
    ("getHost", True, "string", "string", lambda text: urlsplit(text).netloc),
    ("getHostname", True, "string", "string", lambda text: urlsplit(text).hostname or ""),
    ("getPort", True, "string", "string", _port),
    ("getEscapedPath", True, "string", "string", lambda text: urlsplit(text).path),
    ("getQuery", True, "string", "map", lambda text: parse_qs(urlsplit(text).query)),
    ("isQuantity", False, "string", "bool", _holds(parse_quantity)),
    ("quantity", False, "string", "double", _quantity),
    ("isInteger", True, "double", "bool", lambda value: value.is_integer()),
    ("asInteger", True, "double", "int", int),
    ("asApproximateFloat", True, "double", "double", float),
    ("sign", True, "double", "int", lambda value: _compare(value, 0)),
    ("isGreaterThan", True, "double double", "bool", lambda left, right: left > right),
    ("isLessThan", True, "double double", "bool", lambda left, right: left < right),
    ("compareTo", True, "double double", "int", _compare),
    ("add", True, "double double", "double", lambda left, right: left + right),
    ("add", True, "double int", "double", lambda left, right: left + right),
    ("sub", True, "double double", "double", lambda left, right: left - right),
    ("sub", True, "double int", "double", lambda left, right: left - right),
    ("isIP", False, "string", "bool", _holds(ipaddress.ip_address)),
    ("ip", False, "string", "string", lambda text: str(ipaddress.ip_address(text))),
    ("family", True, "string", "int", lambda text: ipaddress.ip_address(text).version),
    ("isUnspecified", True, "string", "bool", lambda text: ipaddress.ip_address(text).is_unspecified),
    ("isLoopback", True, "string", "bool", lambda text: ipaddress.ip_address(text).is_loopback),
    ("isLinkLocalMulticast", True, "string", "bool", lambda text: _contains("224.0.0.0/24", text)),
    ("isLinkLocalUnicast", True, "string", "bool", lambda text: ipaddress.ip_address(text).is_link_local),
    ("isGlobalUnicast", True, "string", "bool", lambda text: not ipaddress.ip_address(text).is_multicast),
    ("isCIDR", False, "string", "bool", FORMATS["cidr"]),
    ("cidr", False, "string", "string", lambda text: str(_network(text))),
    ("containsIP", True, "string string", "bool", _contains),
    ("containsCIDR", True, "string string", "bool", _contains_network),
    ("masked", True, "string", "string", lambda text: str(_network(text))),
    ("prefixLength", True, "string", "int", lambda text: _network(text).prefixlen),
    ("validateFormat", False, "string string", "list", _format_problems),
)


def declarations(cel: ModuleType) -> list[Any]:
    """The functions as cel_expr_python wants them."""
    types = {
        "bool": cel.Type.BOOL,
        "double": cel.Type.DOUBLE,
        "dyn": cel.Type.DYN,
        "int": cel.Type.INT,
        "list": cel.Type.List(cel.Type.DYN),
        "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
        "string": cel.Type.STRING,
    }
    overloads: dict[str, list[Any]] = {}
    for number, (name, member, parameters, result, function) in enumerate(_ROWS):
        row = cel.Overload(
            f"knet_{name}_{number}", types[result], [types[key] for key in parameters.split()], member, function
        )
        overloads.setdefault(name, []).append(row)
    return [cel.FunctionDecl(name, rows) for name, rows in overloads.items()]
