"""CustomResourceDefinitions themselves: defaults, initial state, and what makes one invalid.

Sentences and order are those of apiextensions-apiserver (pkg/apis/apiextensions/validation/validation.go).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from knet.api.jsonpath import compile_path
from knet.apiserver import field, formats
from knet.apiserver.custom.structure import validate_schema
from knet.apiserver.custom.values import shown, too_many
from knet.apiserver.field import Errors
from knet.store import Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
APPROVED = "api-approved.kubernetes.io"

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_SELECTABLE = ("string", "boolean", "integer")
_MAX_SELECTABLE = 8


def default(value: Object) -> None:
    """Names that follow from the kind, and no conversion."""
    spec = value.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if not names.get("singular"):
        names["singular"] = kind.lower()
    if not names.get("listKind") and kind:
        names["listKind"] = f"{kind}List"
    conversion = spec.setdefault("conversion", {})
    conversion.setdefault("strategy", "None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def storage_version(spec: Object) -> str:
    """The version in whose form objects are stored."""
    return next((str(row.get("name", "")) for row in spec.get("versions") or () if row.get("storage")), "")


def prepare_create(value: Object) -> None:
    """No names accepted yet; the storage version counts as one that objects may be stored in."""
    value["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}
    _count_storage_version(value)


def prepare_update(value: Object, old: Object) -> None:
    """A new storage version joins the old ones."""
    value.setdefault("status", {})
    _count_storage_version(value)


def _count_storage_version(value: Object) -> None:
    stored = value["status"].setdefault("storedVersions", [])
    name = storage_version(value["spec"])
    if name and name not in stored:
        stored.append(name)


def prepare_delete(value: Object) -> None:
    """Its instances go first: the finalizer waits for them."""
    metadata = value["metadata"]
    if FINALIZER not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]


def validate(value: Object) -> Errors:
    """A definition, new or changed."""
    spec = value["spec"]
    names = spec["names"]
    errors = _validate_spec(spec) + _validate_names(names, "spec.names")
    required = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if value["metadata"].get("name") != required:
        must = 'must be spec.names.plural+"."+spec.group'
        errors.insert(0, field.invalid("metadata.name", value["metadata"].get("name", ""), must))
    return errors + _stored_versions(value) + _approval(value)


def validate_update(value: Object, old: Object) -> Errors:
    """What may not change once the definition is established."""
    errors: Errors = []
    paths: tuple[tuple[str, ...], ...] = (("group",),)
    rows = (old.get("status") or {}).get("conditions") or ()
    if any(row.get("type") == "Established" and row.get("status") == "True" for row in rows):
        paths = (("scope",), ("names", "kind"), *paths, ("names", "plural"))
    for path in paths:
        new, before = value["spec"], old["spec"]
        for key in path:
            new, before = new.get(key) or {}, before.get(key) or {}
        if new != before:
            errors.append(field.immutable("spec." + ".".join(path), new))
    return errors


def _validate_spec(spec: Object) -> Errors:
    errors: Errors = []
    group = spec.get("group") or ""
    if not group:
        errors.append(field.required("spec.group"))
    elif wrong := formats.dns_subdomain(group):
        errors.append(field.invalid("spec.group", group, wrong))
    elif "." not in group:
        errors.append(field.invalid("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(field.required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(field.not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        errors += _validate_version(version, f"spec.versions[{index}]")
    if len({version.get("name") for version in versions}) != len(versions):
        errors.append(field.invalid("spec.versions", shown(versions), "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        must = "must have exactly one version marked as storage version"
        errors.append(field.invalid("spec.versions", shown(versions), must))
    if spec.get("preserveUnknownFields"):
        must = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(field.invalid("spec.preserveUnknownFields", True, must))
    return errors + _validate_conversion(spec.get("conversion") or {})


def _validate_conversion(conversion: Object) -> Errors:
    strategy = conversion.get("strategy") or ""
    if strategy == "None":
        if conversion.get("webhook"):
            must = "should not be set when strategy is not set to Webhook"
            return [field.forbidden("spec.conversion.webhookClientConfig", must)]
        return []
    if strategy == "Webhook":
        sentence = "knet converts custom resources between versions with strategy None only"
        return [field.forbidden("spec.conversion.strategy", sentence)]
    if not strategy:
        return [field.required("spec.conversion.strategy")]
    return [field.not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))]


def _validate_version(version: Object, path: str) -> Errors:
    errors: Errors = []
    name = version.get("name") or ""
    if wrong := formats.dns_1035_label(name):
        errors.append(field.invalid(f"{path}.name", name, wrong))
    warning = version.get("deprecationWarning")
    if warning is not None:
        errors.extend(field.invalid(f"{path}.deprecationWarning", warning, must) for must in _deprecation(version))
    subresources = version.get("subresources") or {}
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        errors.append(field.required(f"{path}.schema.openAPIV3Schema"))
    else:
        errors += validate_schema(schema, f"{path}.schema.openAPIV3Schema", subresources.get("status") is not None)
    if subresources.get("scale") is not None:
        errors += _validate_scale(subresources["scale"], f"{path}.subresources")
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        errors += _validate_column(column, f"{path}.additionalPrinterColumns[{index}]")
    if schema is not None and not errors:
        errors += _validate_selectable(version.get("selectableFields") or (), schema, f"{path}.selectableFields")
    return errors


def _deprecation(version: Object) -> list[str]:
    text = version["deprecationWarning"]
    if not version.get("deprecated"):
        return ["can only be set for deprecated versions"]
    wrong = [] if len(text.encode()) <= 256 else ["must be <= 256 characters long"]
    if not text:
        wrong.append("must not be an empty string")
    for index, char in enumerate(text):
        if not char.isprintable():
            wrong.append(
                f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            )
            break
    return wrong


def _validate_scale(scale: Object, path: str) -> Errors:
    errors: Errors = []
    for key, roots, where in (
        ("specReplicasPath", (".spec.",), ".spec"),
        ("statusReplicasPath", (".status.",), ".status"),
        ("labelSelectorPath", (".spec.", ".status."), "either .spec or .status"),
    ):
        text, here = scale.get(key) or "", f"{path}.scale.{key}"
        if not text:
            if key != "labelSelectorPath":
                errors.append(field.required(here))
        elif not text.startswith("."):
            errors.append(field.invalid(here, text, "must be a simple json path starting with ."))
        elif not text.startswith(roots):
            errors.append(field.invalid(here, text, f"should be a json path under {where}"))
    return errors


def _validate_column(column: Object, path: str) -> Errors:
    errors: Errors = []
    if not column.get("name"):
        errors.append(field.required(f"{path}.name"))
    must = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not column.get("type"):
        errors.append(field.required(f"{path}.type", must))
    elif column["type"] not in _COLUMN_TYPES:
        errors.append(field.invalid(f"{path}.type", column["type"], must))
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        must = f"must be one of {','.join(_COLUMN_FORMATS)}"
        errors.append(field.invalid(f"{path}.format", column["format"], must))
    text = column.get("jsonPath") or ""
    if not text:
        errors.append(field.required(f"{path}.JSONPath"))
    elif text[0] != ".":
        errors.append(field.invalid(f"{path}.JSONPath", text, "must be a simple json path starting with ."))
    else:
        try:
            compile_path(text)
        except ValueError as error:
            errors.append(field.invalid(f"{path}.JSONPath", text, str(error)))
    return errors


def _validate_selectable(rows: Sequence[Object], schema: Object, path: str) -> Errors:
    errors: Errors = []
    seen = set()
    for index, row in enumerate(rows):
        here, text = f"{path}[{index}].jsonPath", row.get("jsonPath") or ""
        if not text:
            errors.append(field.required(here))
            continue
        found = _field_schema(schema, text)
        if found is None:
            errors.append(field.invalid(here, text, "is an invalid path: does not refer to a valid field"))
            continue
        if text.startswith(".metadata"):
            errors.append(field.invalid(here, text, "must not point to fields in metadata"))
        if found.get("type") not in _SELECTABLE:
            must = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats"
                " are allowed."
            )
            errors.append(field.invalid(here, text, must))
        if text in seen:
            errors.append(field.duplicate(here, text))
        seen.add(text)
    if len(seen) > _MAX_SELECTABLE:
        errors.append(too_many(path, len(seen), _MAX_SELECTABLE))
    return errors


def _field_schema(schema: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The schema of a field named by a plain path (``.spec.color``); None where there is none."""
    if not path.startswith(".") or "[" in path:
        return None
    found: Any = schema
    for key in path[1:].split("."):
        found = (found.get("properties") or {}).get(key)
        if found is None:
            return None
    return found  # type: ignore[no-any-return]


def _validate_names(names: Object, path: str) -> Errors:
    errors: Errors = []
    for key in ("plural", "singular", "kind", "listKind"):
        text = names.get(key) or ""
        if not text:
            errors.append(field.required(f"{path}.{key}"))
        elif wrong := formats.dns_1035_label(text.lower() if key in ("kind", "listKind") else text):
            mixed = "may have mixed case, but should otherwise match: " if key in ("kind", "listKind") else ""
            errors.append(field.invalid(f"{path}.{key}", text, mixed + wrong))
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        errors.append(field.invalid(f"{path}.listKind", names["listKind"], "kind and listKind may not be the same"))
    for key in ("shortNames", "categories"):
        for index, text in enumerate(names.get(key) or ()):
            if wrong := formats.dns_1035_label(text):
                errors.append(field.invalid(f"{path}.{key}[{index}]", text, wrong))
    return errors


def _stored_versions(value: Object) -> Errors:
    path, stored = "status.storedVersions", (value.get("status") or {}).get("storedVersions") or []
    if not stored:
        return [field.invalid(path, field.Go("[]string{}"), "must have at least one stored version")]
    known = {version.get("name") for version in value["spec"].get("versions") or ()}
    return [
        field.invalid(
            f"{path}[{index}]",
            name,
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions"
            f" until a storage migration ensures no data remains persisted in {name} and removes {name} from"
            " status.storedVersions",
        )
        for index, name in enumerate(stored)
        if name not in known
    ]


def is_protected(group: str) -> bool:
    """Groups of the Kubernetes community need its approval."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(value: Object) -> tuple[str, str, str]:
    """(status, reason, message) of the condition KubernetesAPIApprovalPolicyConformant."""
    text = (value["metadata"].get("annotations") or {}).get(APPROVED, "")
    if not text:
        message = f'protected groups must have approval annotation "{APPROVED}", see {_APPROVAL_HELP}'
        return "False", "MissingAnnotation", message
    if text.startswith("unapproved"):
        return "False", "UnapprovedAnnotation", f"not approved: {text!r}".replace("'", '"')
    if text.startswith(("https://", "http://")) and len(text) > 8:
        return "True", "ApprovedAnnotation", f"approved in {text}"
    message = (
        f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting with'
        f' "unapproved", see {_APPROVAL_HELP}'
    )
    return "False", "InvalidAnnotation", message


_APPROVAL_HELP = "https://github.com/kubernetes/enhancements/pull/1111"


def _approval(value: Object) -> Errors:
    if not is_protected(value["spec"].get("group") or ""):
        return []
    _, reason, message = approval(value)
    path = f"metadata.annotations[{APPROVED}]"
    if reason == "MissingAnnotation":
        return [field.required(path, message)]
    if reason == "InvalidAnnotation":
        return [field.invalid(path, value["metadata"]["annotations"][APPROVED], message)]
    return []
