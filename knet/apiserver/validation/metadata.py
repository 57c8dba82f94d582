"""ObjectMeta, the same for every kind (apimachinery/pkg/api/validation)."""

from typing import Any

from knet.api.names import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.kind import Kind
from knet.store import Object

#: what an update has to leave as it is; deletions are asked for by DELETE
IMMUTABLE = ("name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds")

#: bytes of all annotations of one object
ANNOTATIONS_LIMIT = 256 * 1024


def validate(metadata: Object, kind: Kind) -> Errors:
    """A new object's metadata, with its name generated already."""
    errors: Errors = []
    name = metadata.get("name", "")
    generate = metadata.get("generateName", "")
    # only the generated name need not end in a dash
    stem = generate[:-2] + "a" if len(generate) > 1 and generate[-1] == "-" else generate
    if generate and (wrong := kind.strategy.check_name(stem)):
        errors.append(field.invalid("metadata.generateName", generate, wrong))
    if not name:
        errors.append(field.required("metadata.name", "name or generateName is required"))
    elif wrong := kind.strategy.check_name(name):
        errors.append(field.invalid("metadata.name", name, wrong))
    return errors + common(metadata) + _finalizers(metadata.get("finalizers") or [], kind)


def validate_update(metadata: Object, old: Object, kind: Kind) -> Errors:
    """A changed object's metadata; what only the server writes has been put back before."""
    errors: Errors = []
    for key in IMMUTABLE:
        if metadata.get(key) != old.get(key):
            errors.append(field.immutable(f"metadata.{key}", metadata.get(key, "")))
    if "deletionTimestamp" in old:
        added = set(metadata.get("finalizers", ())) - set(old.get("finalizers", ()))
        if added:
            names = "[]string{" + ", ".join(f'"{name}"' for name in sorted(added)) + "}"
            errors.append(
                field.forbidden(
                    "metadata.finalizers",
                    f"no new finalizers can be added if the object is being deleted, found new finalizers {names}",
                )
            )
    return errors + common(metadata) + _finalizers(metadata.get("finalizers") or [], kind)


def common(metadata: Object, path: str = "metadata") -> Errors:
    """Labels, annotations and owners: of objects and of templates."""
    errors = labels(metadata.get("labels", {}), f"{path}.labels")
    size = 0
    for key, value in metadata.get("annotations", {}).items():
        size += len(key) + len(value)
        if wrong := formats.qualified_name(key.lower()):
            errors.append(field.invalid(f"{path}.annotations", key, wrong))
    if size > ANNOTATIONS_LIMIT:
        errors.append(
            field.FieldError(
                f"{path}.annotations", "FieldValueTooLong", f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
            )
        )
    return errors + _owners(metadata.get("ownerReferences", ()), f"{path}.ownerReferences")


#: finalizers without a domain
_STANDARD_FINALIZERS = ("kubernetes", ORPHAN_FINALIZER, FOREGROUND_FINALIZER)


def _finalizers(names: list[str], kind: Kind) -> Errors:
    path = "metadata.finalizers"
    errors = [field.invalid(path, name, wrong) for name in names if (wrong := formats.qualified_name(name))]
    if ORPHAN_FINALIZER in names and FOREGROUND_FINALIZER in names:
        both = f"finalizer {FOREGROUND_FINALIZER} and {ORPHAN_FINALIZER} cannot be both set"
        errors.append(field.invalid(path, names, both))
    if not kind.resource.custom:
        sentence = "name is neither a standard finalizer name nor is it fully qualified"
        errors += [
            field.invalid(f"{path}[{index}]", name, sentence)
            for index, name in enumerate(names)
            if "/" not in name and name not in _STANDARD_FINALIZERS
        ]
    return errors


def labels(values: dict[str, str], path: str) -> Errors:
    """Keys and values of a label map."""
    errors: Errors = []
    for key, value in values.items():
        if wrong := formats.qualified_name(key):
            errors.append(field.invalid(path, key, wrong))
        if wrong := formats.label_value(value):
            errors.append(field.invalid(path, value, wrong))
    return errors


#: field of an owner reference → what upstream calls it
_OWNER_HAS = {"apiVersion": "version", "kind": "kind", "name": "name", "uid": "uid"}


def _owners(owners: Any, path: str) -> Errors:
    errors: Errors = []
    for owner in owners:
        for key, named in _OWNER_HAS.items():
            if not owner.get(key):
                errors.append(field.invalid(f"{path}.{key}", owner.get(key, ""), f"{named} must not be empty"))
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            sentence = "/v1, Kind=Event is disallowed from being an owner"
            errors.append(field.invalid(path, field.go_missing(), sentence))
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        errors.append(
            field.invalid(
                path,
                field.Go("[]v1.OwnerReference{...}"),
                "Only one reference can have Controller set to true. Found"
                f' "true" in references for {controllers[0].get("kind")}/{controllers[0].get("name")}'
                f" and {controllers[1].get('kind')}/{controllers[1].get('name')}",
            )
        )
    return errors
