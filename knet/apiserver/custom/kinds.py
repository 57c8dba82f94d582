"""From a definition to kinds, one per version.

All versions share one collection.  Without a conversion webhook a version differs from another in nothing but its
name and its schema, so objects lie in the store in the form in which they were written last, and take the form of the
version that is asked for when they are read: its apiVersion, its fields, its defaults.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import orjson

from knet.api.jsonpath import compile_path
from knet.api.resources import Resource
from knet.api.schema import Type, conform
from knet.api.structural import JSONSchema, compile_object, defaulter
from knet.apiserver import field
from knet.apiserver.custom.columns import columns, text
from knet.apiserver.custom.documents import definitions
from knet.apiserver.custom.embedded import compile_embedded
from knet.apiserver.custom.lists import compile_lists
from knet.apiserver.custom.rules import compile_rules
from knet.apiserver.custom.values import BLOCKING, NOWHERE, compile_values
from knet.apiserver.custom.walking import ABSENT, Check, part
from knet.apiserver.discovery import version_rank
from knet.apiserver.field import Errors
from knet.apiserver.kind import Kind, Life, ScalePaths, Strategy
from knet.apiserver.status import StatusError
from knet.store import Object, Record

#: in the order in which upstream's discovery has them for custom resources
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_INT32_MAX = 2**31 - 1
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete"
    " validation"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class CustomKind(Kind):
    """One version of a custom resource; ``since`` is the revision from which on everything stored has this schema."""

    since: int
    served: bool

    @property
    def collection(self) -> str:
        """Always with its group, so that it meets no built-in one."""
        return f"/registry/{self.resource.group}/{self.resource.plural}/"

    def from_stored(self, value: Object) -> Object:
        """A stored object in the form of this version and of its schema as it is now."""
        value["apiVersion"] = self.resource.api_version
        conform(self.type, value)
        self.strategy.default(value)
        return value

    @property
    def verbatim(self) -> bool:
        """See `Kind.verbatim`: an object may be older than its schema."""
        return False

    def shown(self, record: Record) -> bytes:
        """See `Kind.shown`.  What this version wrote since its schema is as it is stays as it was encoded."""
        head = f'{{"kind":"{self.resource.kind}","apiVersion":"{self.resource.api_version}",'
        if record.revision > self.since and record.data.startswith(head.encode()):
            return record.data
        return orjson.dumps(self.from_stored(record.decode()))


def kinds_of(definition: Object, metadata: Type, since: int) -> list[CustomKind]:
    """All versions of a definition whose names are accepted; ``metadata`` is the type of ObjectMeta.

    Raises ValueError where a schema cannot be compiled.
    """
    spec, names = definition["spec"], definition["status"]["acceptedNames"]
    life = Life(terminating="deletionTimestamp" in definition["metadata"])
    return [_kind(spec, names, version, metadata, since, life) for version in spec["versions"]]


def _kind(spec: Object, names: Object, version: Object, metadata: Type, since: int, life: Life) -> CustomKind:
    subresources = version.get("subresources") or {}
    row = Resource(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        spec["scope"] == "Namespaced",
        tuple(names.get("shortNames", ())),
        tuple(name for name in ("status", "scale") if subresources.get(name) is not None),
        tuple(names.get("categories", ())),
        verbs=_VERBS,
        custom=True,
        singular=names.get("singular", ""),
        list_kind=names.get("listKind", ""),
    )
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    strategy = _strategy(version, schema, subresources.get("scale"), life, _deprecation(spec, version))
    return CustomKind(
        row,
        compile_object(schema, metadata),
        strategy,
        life=life,
        definitions=definitions(row, schema, strategy.fields),
        columns=columns(version.get("additionalPrinterColumns") or ()),
        since=since,
        served=bool(version.get("served")),
    )


def _strategy(version: Object, schema: JSONSchema, scale: Object | None, life: Life, deprecation: str) -> Strategy:
    validation = Validation(schema, scale)

    def refuse_while_terminating(_: Object) -> None:
        if life.terminating:
            sentence = "create not allowed while custom resource definition is terminating"
            raise StatusError(405, "MethodNotAllowed", sentence, {})

    paths = ScalePaths()
    if scale is not None:
        keys = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
        paths = ScalePaths(*((scale.get(key) or "").removeprefix(".") for key in keys))
    fill = defaulter(schema)
    return Strategy(
        default=fill or _nothing,
        prepare_create=refuse_while_terminating,
        validate=validation.validate,
        validate_update=validation.validate,
        update_is_new=False,
        validate_status_update=validation.validate_status,
        fields=dict(map(_selectable, version.get("selectableFields") or ())),
        generation=True,
        unconditional_update=False,
        scale=paths,
        deprecation=deprecation,
    )


def _deprecation(spec: Object, version: Object) -> str:
    """What users of a version are told: the definition's words, or that there is a better one."""
    if not version.get("deprecated"):
        return ""
    if text := version.get("deprecationWarning"):
        return str(text)
    group, kind, rank = spec["group"], spec["names"]["kind"], version_rank(version["name"])
    fresh = [row["name"] for row in spec["versions"] if row.get("served") and not row.get("deprecated")]
    better = min((name for name in fresh if version_rank(name) < rank), key=version_rank, default="")
    advice = f"; use {group}/{better} {kind}" if better else ""
    return f"{group}/{version['name']} {kind} is deprecated{advice}"


def _nothing(_: Object) -> None:
    return None


def _selectable(row: Object) -> tuple[str, Callable[[Object], str]]:
    find = compile_path(row["jsonPath"])

    def read(value: Object) -> str:
        found = find(value)
        return "" if not found or found[0] is None else text(found[0])

    return row["jsonPath"].removeprefix("."), read


class Validation:
    """What a version demands of its objects: values first, then the rules, which may rely on them."""

    def __init__(self, schema: JSONSchema, scale: Object | None) -> None:
        self._values: Check = compile_values(schema)
        self._status: Check = compile_values((schema.get("properties") or {}).get("status") or {})
        self._embedded = compile_embedded(schema) or _fine
        self._lists = compile_lists(schema) or _fine
        self._rules = compile_rules(schema)
        scale = scale or {}
        self._spec_scale = [scale[key] for key in ("specReplicasPath",) if scale.get(key)]
        self._status_scale = [scale[key] for key in ("statusReplicasPath",) if scale.get(key)]

    def validate(self, value: Object, old: Object = ABSENT) -> Errors:
        """A new object, or with ``old`` a changed one."""
        errors: Errors = []
        self._values(value, old, "", errors)
        errors += _replicas(value, self._spec_scale + self._status_scale)
        self._whole(value, old, errors)
        return errors

    def validate_status(self, value: Object, old: Object) -> Errors:
        """A changed status; the rest of the object is as it was."""
        found: Errors = []
        if "status" in value:
            self._status(value["status"], part(old, "status"), "", found)
        errors = [replace(error, field=_below_status(error.field)) for error in found]
        errors += _replicas(value, self._status_scale)
        self._whole(value, old, errors)
        return errors

    def _whole(self, value: Object, old: Object, errors: Errors) -> None:
        """What follows the schema's own checks."""
        self._embedded(value, old, "", errors)
        before: Errors = []
        if old is not ABSENT:
            self._lists(old, ABSENT, "", before)
        if not before:
            self._lists(value, old, "", errors)
        if self._rules is None:
            return
        if any(error.reason in BLOCKING for error in errors):
            errors.append(field.invalid("<nil>", "null", _NOT_CHECKED))
        else:
            self._rules(value, old, "", errors)


def _fine(value: object, old: object, path: str, errors: Errors) -> None:
    return None


def _below_status(path: str) -> str:
    return f"status.{path}" if path and path != NOWHERE else "status"


def _replicas(value: Object, paths: Iterable[str]) -> Errors:
    errors: Errors = []
    for path in paths:
        here: object = value
        for key in path.removeprefix(".").split("."):
            here = here.get(key) if isinstance(here, dict) else None
        if here is None:
            continue
        if not isinstance(here, int) or isinstance(here, bool):
            kind = "string" if isinstance(here, str) else type(here).__name__
            sentence = f"{path} accessor error: {here} is of the type {kind}, expected int64"
            errors.append(field.invalid(path, 0, sentence))
        elif here < 0:
            errors.append(field.invalid(path, here, "should be a non-negative integer"))
        elif here > _INT32_MAX:
            errors.append(field.invalid(path, here, f"should be less than or equal to {_INT32_MAX}"))
    return errors


def selectable_fields(kinds: Iterable[Kind]) -> Mapping[str, Callable[[Object], str]]:
    """The field labels of all versions together: the store derives them once per object."""
    return {label: read for kind in kinds for label, read in kind.strategy.fields.items()}
