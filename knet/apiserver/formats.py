"""The formats of names, labels and keys, and upstream's sentences about them (apimachinery/pkg/util/validation)."""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address as parse_ip_address
from ipaddress import ip_network

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"


def _remembering(pattern: str) -> Callable[[str], object]:
    """Whether a short text matches: names of containers, keys and values of labels come again and again."""
    return lru_cache(maxsize=8192)(re.compile(pattern).fullmatch)


_is_label = _remembering(LABEL)
_is_subdomain = re.compile(SUBDOMAIN).fullmatch
_is_label_1035 = re.compile(_LABEL_1035).fullmatch
_is_qualified = _remembering(_QUALIFIED)
_is_label_value = _remembering(_LABEL_VALUE)
_is_config_key = re.compile("[-._a-zA-Z0-9]+").fullmatch
_is_port_name = _remembering("[-a-z0-9]+")
_is_env_name = re.compile(r"[\x20-\x3c\x3e-\x7e]+").fullmatch


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def dns_label(text: str) -> str:
    """RFC 1123 label (Namespace, container names); "" if it is one, else what is wrong."""
    if len(text) > 63:
        return _too_long(63)
    if _is_label(text):
        return ""
    return (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
        " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
        f" '{LABEL}')"
    )


def dns_subdomain(text: str) -> str:
    """RFC 1123 subdomain (names of most objects)."""
    if len(text) > 253:
        return _too_long(253)
    if _is_subdomain(text):
        return ""
    return (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
        " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
        f" '{SUBDOMAIN}')"
    )


def dns_1035_label(text: str) -> str:
    """RFC 1035 label (names of Services)."""
    if len(text) > 63:
        return _too_long(63)
    if _is_label_1035(text):
        return ""
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
        " character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation"
        f" is '{_LABEL_1035}')"
    )


def path_segment(text: str) -> str:
    """Names of what is found by path only (Roles, EndpointSlices of other origins, ControllerRevisions)."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    for character in "/%":
        if character in text:
            return f"may not contain '{character}'"
    return ""


def qualified_name(text: str) -> str:
    """Keys of labels and annotations: ``[prefix/]name``."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if wrong := dns_subdomain(prefix):
            return "prefix part " + wrong
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part " + _too_long(63)
    if _is_qualified(name):
        return ""
    return (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
        " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
        f" '{_QUALIFIED}')"
    )


def label_value(text: str) -> str:
    """Values of labels."""
    if len(text) > 63:
        return _too_long(63)
    if _is_label_value(text):
        return ""
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start"
        " and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for"
        f" validation is '{_LABEL_VALUE}')"
    )


def config_key(text: str) -> str:
    """Keys of ConfigMaps and Secrets."""
    if len(text) > 253:
        return _too_long(253)
    if text in (".", ".."):
        return f"must not be '{text}'"
    if _is_config_key(text):
        return ""
    return (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
        "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )


def port_name(text: str) -> str:
    """IANA service names (names of ports)."""
    if len(text) > 15:
        return _too_long(15)
    if not _is_port_name(text):
        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", text):
        return "must contain at least one letter (a-z)"
    if "--" in text:
        return "must not contain consecutive hyphens"
    if text[0] == "-" or text[-1] == "-":
        return "must not begin or end with a hyphen"
    return ""


def env_name(text: str) -> str:
    """Names of environment variables, relaxed as of 1.32: printable ASCII but "="."""
    if _is_env_name(text):
        return ""
    return "a valid environment variable name must consist only of printable ASCII characters other than '='"


def port_number(number: int) -> str:
    """1 to 65535."""
    return "" if 0 < number < 65536 else "must be between 1 and 65535, inclusive"


def domain_prefixed_path(text: str) -> str:
    """``example.com/controller``: who looks after an object."""
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return 'must be a domain-prefixed path (such as "acme.io/foo")'
    if wrong := dns_subdomain(domain):
        return wrong
    if len(text) > 63:
        return _too_long(63)
    return "" if re.fullmatch(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", path) else "Invalid path"


INVALID_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
INVALID_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def ip_address(text: str) -> str:
    """IPv4 or IPv6."""
    try:
        parse_ip_address(text)
    except ValueError:
        return INVALID_IP
    return ""


def cidr(text: str) -> str:
    """A range of IPv4 or IPv6 addresses, named by any of them."""
    address, slash, _bits = text.partition("/")
    try:
        parse_ip_address(address)
        ip_network(text, strict=False)
    except ValueError:
        return INVALID_CIDR
    return "" if slash else INVALID_CIDR


def http_header_name(text: str) -> str:
    """Names of HTTP headers."""
    if re.fullmatch("[-A-Za-z0-9]+", text):
        return ""
    return (
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for"
        " validation is '[-A-Za-z0-9]+')"
    )
