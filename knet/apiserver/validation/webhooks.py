"""Configurations of admission webhooks, and what policies share with them (pkg/apis/admissionregistration)."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from knet.apiserver import field, formats
from knet.apiserver.expressions import CONDITION_VARIABLES, compile_expression, variables_of
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Required, Rule, both, each, form, one_of, shape, unique, where
from knet.apiserver.validation.selectors import label_selector
from knet.store import Object

_MOST_CONDITIONS = 64
_REVIEW_VERSIONS = ("v1", "v1beta1")
_HTTPS = "; desired format: https://host[/path]"

# ---- rules -----------------------------------------------------------------------------------------------


def _alone(noun: str, go_type: str = "string") -> Rule:
    """``*`` makes all else superfluous."""

    def check(value: list[str], path: str) -> Errors:
        if len(value) < 2 or "*" not in value:
            return []
        return [field.invalid(path, field.go_list(go_type, value), f"if '*' is present, must not specify other {noun}")]

    return check


def _filled(value: list[str], path: str) -> Errors:
    return [field.required(f"{path}[{index}]") for index, item in enumerate(value) if not item]


def _resources(value: list[str], path: str) -> Errors:
    """``pods``, ``pods/status``, ``pods/*``, ``*/scale``, ``*/*``; none that another one covers."""
    errors: Errors = []
    names: set[str] = set()
    subresources: set[str] = set()
    plain = False
    for index, item in enumerate(value):
        place = f"{path}[{index}]"
        if not item:
            errors.append(field.required(place))
            continue
        name, slash, sub = item.partition("/")
        if not slash:
            plain = item != "*"
            continue
        if name in names:
            errors.append(field.invalid(place, item, f"if '{name}/*' is present, must not specify {item}"))
        if sub in subresources:
            errors.append(field.invalid(place, item, f"if '*/{sub}' is present, must not specify {item}"))
        if sub == "*":
            names.add(name)
        if name == "*":
            subresources.add(sub)
    if len(value) > 1 and "*/*" in value:
        errors.append(field.invalid(path, value, "if '*/*' is present, must not specify other resources"))
    if "*" in value and plain:
        detail = "if '*' is present, must not specify other resources without subresources"
        errors.append(field.invalid(path, value, detail))
    return errors


_OPERATIONS = both(
    _alone("operations", "admissionregistration.OperationType"),
    each(one_of("*", "CONNECT", "CREATE", "DELETE", "UPDATE")),
)
RULE = shape(
    {
        "operations": Required(_OPERATIONS),
        "apiGroups": Required(_alone("API groups")),
        "apiVersions": Required(both(_alone("API versions"), _filled)),
        "resources": Required(_resources),
        "scope": one_of("*", "Cluster", "Namespaced"),
    }
)
FAILURE_POLICY = one_of("Fail", "Ignore")
MATCH_POLICY = one_of("Equivalent", "Exact")

# ---- expressions -----------------------------------------------------------------------------------------


def expression(variables: tuple[str, ...], *results: str) -> Rule:
    """Text that compiles and can have one of the result types (CEL's names in lower case), or any if none is given."""

    def check(value: str, path: str) -> Errors:
        try:
            kind = str(compile_expression(value, variables).return_type()).lower()
        except ValueError as error:
            return [field.invalid(path, value, str(error))]
        if not results or kind in (*results, "dyn"):
            return []
        wanted = results[0] if len(results) == 1 else f"one of [{' '.join(results)}]"
        return [field.invalid(path, value, f"must evaluate to {wanted} but got {kind}")]

    return check


def match_conditions(parametric: bool) -> Rule:
    """``parametric``: they may speak of ``params``."""
    row = shape(
        {
            "expression": Required(
                lambda value, path: (
                    _CONDITION[parametric](value.strip(), path) if value.strip() else [field.required(path)]
                )
            ),
            "name": Required(form(formats.qualified_name)),
        }
    )

    def few(value: list[Object], path: str) -> Errors:
        if len(value) <= _MOST_CONDITIONS:
            return []
        return [field.too_many(path, len(value), _MOST_CONDITIONS)]

    return both(few, each(row), unique(lambda item: item.get("name") or None, place=".name"))


_CONDITION = {False: expression(CONDITION_VARIABLES, "bool"), True: expression(variables_of(True, False), "bool")}

# ---- where a webhook is ----------------------------------------------------------------------------------


def _url(value: str, path: str) -> Errors:
    try:
        parts = urlsplit(value)
    except ValueError as error:
        return [field.required(path, f"url must be a valid URL: {error}{_HTTPS}")]
    errors: Errors = []
    if parts.scheme != "https":
        errors.append(field.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_HTTPS}"))
    user, at, host = parts.netloc.rpartition("@")
    if not host:
        errors.append(field.invalid(path, host, f"host must be specified{_HTTPS}"))
    if at:
        errors.append(field.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(field.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(field.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def _path(value: str, path: str) -> Errors:
    if value == "/":
        return []
    if value == "//":
        return [field.invalid(path, value, "segment[0] may not be empty")]
    errors: Errors = []
    if not value.startswith("/"):
        errors.append(field.invalid(path, value, "must start with a '/'"))
    for index, step in enumerate(value[1:].removesuffix("/").split("/")):
        wrong = formats.dns_subdomain(step) if step else ""
        if wrong:
            errors.append(field.invalid(path, value, f"segment[{index}]: {wrong}"))
        elif not step:
            errors.append(field.invalid(path, value, f"segment[{index}] may not be empty"))
    return errors


_PORT = where(lambda port: 1 <= port <= 65535, "port is not valid: must be between 1 and 65535, inclusive")
_SERVICE = shape({"name": Required(), "namespace": Required(), "port": _PORT, "path": _path})


def _client(value: Object, path: str) -> Errors:
    if ("url" in value) == ("service" in value):
        return [field.required(path, "exactly one of url or service is required")]
    return _url(value["url"], f"{path}.url") if "url" in value else _SERVICE(value["service"], f"{path}.service")


# ---- configurations --------------------------------------------------------------------------------------


def _qualified(value: str, path: str) -> Errors:
    if wrong := formats.dns_subdomain(value):
        return [field.invalid(path, value, wrong)]
    if value.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        return [field.invalid(path, value, detail)]
    return []


def _review_versions(value: Sequence[str], path: str) -> Errors:
    errors: Errors = []
    for index, version in enumerate(value):
        if version in value[:index]:
            errors.append(field.invalid(f"{path}[{index}]", version, "duplicate version"))
        elif wrong := formats.dns_1035_label(version):
            errors.append(field.invalid(f"{path}[{index}]", version, wrong))
    if not any(version in _REVIEW_VERSIONS for version in value):
        errors.append(field.invalid(path, list(value), f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"))
    return errors


def _hook(more: dict[str, Rule | Required]) -> Rule:
    """One webhook; ``more`` are the fields of its phase."""
    return shape(
        {
            "name": Required(_qualified),
            "rules": each(RULE),
            "failurePolicy": FAILURE_POLICY,
            "matchPolicy": MATCH_POLICY,
            "sideEffects": Required(one_of("None", "NoneOnDryRun"), "must specify one of None, NoneOnDryRun"),
            "timeoutSeconds": where(
                lambda seconds: 1 <= seconds <= 30, "the timeout value must be between 1 and 30 seconds"
            ),
            "namespaceSelector": label_selector,
            "objectSelector": label_selector,
            **more,
            "clientConfig": Required(_client, "exactly one of url or service is required"),
            "matchConditions": match_conditions(parametric=False),
            "admissionReviewVersions": Required(_review_versions, "must specify one of v1, v1beta1"),
        }
    )


def _configuration(hook: Rule) -> Callable[[Object], Errors]:
    rows = both(each(hook), unique(lambda row: row.get("name") or None, place=".name"))

    def validate(value: Object) -> Errors:
        webhooks: Any = value.get("webhooks") or []
        return rows(webhooks, "webhooks")

    return validate


validate_mutating = _configuration(_hook({"reinvocationPolicy": one_of("IfNeeded", "Never")}))
validate_validating = _configuration(_hook({}))
