"""What the generic handlers know of a kind: its registry row, its type, and the behaviour it adds.

Most kinds add nothing.  Behaviour is a row of functions with the same meaning for all; which kind has which is listed
in `knet.apiserver.kinds`, and what the functions do is found in ``defaults``, ``validation``, ``prepare``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

from knet.api.resources import Resource
from knet.api.schema import Type
from knet.apiserver import formats
from knet.apiserver.field import Errors
from knet.store import Object, Record


def _nothing(_: Object) -> None:
    return None


def _no_change(_new: Object, _old: Object) -> None:
    return None


def _valid(_: Object) -> Errors:
    return []


def _valid_change(_new: Object, _old: Object) -> Errors:
    return []


@dataclass(frozen=True)
class ScalePaths:
    """Paths of fields (``spec.replicas``); the selector is a LabelSelector, a map of labels, or text."""

    replicas: str = "spec.replicas"
    current: str = "status.replicas"
    selector: str = "spec.selector"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A subresource that writes one part of an object, as status does."""

    #: (new, old) → the new object with everything but that part, and managedFields, put back
    restrict: Callable[[Object, Object], Object]
    #: what is wrong with the change, besides what is wrong with the new object
    validate: Callable[[Object, Object], Errors] = _valid_change
    #: the part belongs to the status
    of_status: bool = False


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How one kind differs from the plain case.  Every function gets objects whose types are right."""

    #: fills in upstream's default values; runs after every decode, so it must be idempotent
    default: Callable[[Object], None] = _nothing
    #: the status of a new object; where it has none by itself upstream's Go writes an empty struct, with its numbers
    first_status: Object = field(default_factory=dict)
    #: puts a new object into its initial state where that depends on it; its ``metadata.generation`` is the caller's
    prepare_create: Callable[[Object], None] = _nothing
    #: (new, old): carries over what an update to the main resource cannot change, beside status and metadata
    prepare_update: Callable[[Object, Object], None] = _no_change
    validate: Callable[[Object], Errors] = _valid
    #: what is wrong with a new object besides that
    validate_create: Callable[[Object], Errors] = _valid
    #: a changed object has to pass ``validate``, too; else ``validate_update`` says all
    update_is_new: bool = True
    validate_update: Callable[[Object, Object], Errors] = _valid_change
    validate_status_update: Callable[[Object, Object], Errors] = _valid_change
    #: what is wrong with a name, or ""
    check_name: Callable[[str], str] = formats.dns_subdomain
    #: field labels beside metadata.name and metadata.namespace → how to read them
    fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    #: ``metadata.generation`` counts changes of everything but metadata and status
    generation: bool = False
    #: a PUT to a name that is not there creates it
    create_on_update: bool = False
    #: an update may come without resourceVersion
    unconditional_update: bool = True
    #: a DELETE answers with the object and not with a Status
    returns_deleted: bool = False
    #: (object, requested grace) → seconds until it may be removed; None: such objects go at once
    grace_period: Callable[[Object, int | None], int] | None = None
    #: metadata that a write to the status leaves alone; the rest it may write
    status_keeps: tuple[str, ...] = ()
    #: further subresources that write a part
    parts: Mapping[str, Part] = field(default_factory=dict)
    #: a node registers itself with its status; all others start without
    status_on_create: bool = False
    #: what becomes of dependents where neither a DELETE nor the object's finalizers say; "": it cannot have any
    propagation: Literal["Background", "Orphan", ""] = "Background"
    #: changes an object that is marked for deletion and will not go at once: adds its own finalizers
    prepare_delete: Callable[[Object], None] = _nothing
    #: where an object of this kind keeps what its scale shows
    scale: ScalePaths = ScalePaths()
    #: what whoever uses the kind is warned of; "" for nothing
    deprecation: str = ""


@dataclass
class Life:
    """How long a kind is served; only custom ones end."""

    #: its objects are being deleted: none is created any more
    terminating: bool = False
    #: no longer served, or served by a successor: watches end
    over: bool = False


@dataclass(frozen=True, eq=False)
class Conversion:
    """How objects of one version become those of the version that is stored, and back; pure, without loss.

    ``labels`` translates the field labels of this version to those of the stored one.
    """

    stored: "Kind"
    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]
    labels: Mapping[str, str] = field(default_factory=dict)


#: kinds that upstream, for reasons of history, stores under another name than their plural, or with the group before
_UNLIKE = {
    "nodes": "minions",
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "replicationcontrollers": "controllers",
    "ingresses.networking.k8s.io": "ingress",
    "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
}


@dataclass(frozen=True, eq=False)
class Kind:
    """A served resource.

    With a ``conversion`` it is another form of the objects of its ``stored`` kind: requests are decoded and answered
    in this form; defaults, admission, validation, columns and the store see that one.
    """

    resource: Resource
    type: Type
    strategy: Strategy
    conversion: Conversion | None = None
    life: Life = field(default_factory=Life, repr=False)
    #: OpenAPI definitions, in the notation of `knet.api.definitions`, that the installed ones lack
    definitions: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: what ``kubectl get`` prints, where the table of columns has no row (`knet.apiserver.tables.Column`)
    columns: Sequence[Any] = ()

    @cached_property
    def stored(self) -> "Kind":
        """The kind in whose form the objects are stored."""
        return self.conversion.stored if self.conversion else self

    def to_stored(self, value: Object) -> Object:
        """A decoded object in the stored form."""
        return self.conversion.to_stored(value) if self.conversion else value

    def from_stored(self, value: Object) -> Object:
        """A stored object in the form of this kind."""
        return self.conversion.from_stored(value) if self.conversion else value

    @property
    def verbatim(self) -> bool:
        """What is stored is what is shown, byte by byte."""
        return self.conversion is None

    def shown(self, record: Record) -> bytes:
        """A record's object, encoded in the form of this kind."""
        return record.data if self.verbatim else orjson.dumps(self.from_stored(record.decode()))

    @cached_property
    def field_labels(self) -> Mapping[str, str]:
        """The labels that field selectors may use → those under which the store knows them."""
        own = self.conversion.labels if self.conversion else {label: label for label in self.strategy.fields}
        return {"metadata.name": "metadata.name", "metadata.namespace": "metadata.namespace", **own}

    @property
    def is_custom(self) -> bool:
        """Its group is somebody's own, so a CustomResourceDefinition made it."""
        group = self.resource.group
        return "." in group and not group.endswith(".k8s.io")

    @cached_property
    def collection(self) -> str:
        """The store's prefix of all its objects."""
        resource = self.stored.resource
        usual = f"{resource.group}/{resource.plural}" if self.is_custom else resource.plural
        return f"/registry/{_UNLIKE.get(resource.group_resource, usual)}/"

    @property
    def has_status(self) -> bool:
        """Status is written by /status only."""
        return "status" in self.resource.subresources

    def prefix(self, namespace: str) -> str:
        """The store's prefix of one namespace, or of all of them ("")."""
        return f"{self.collection}{namespace}/" if namespace else self.collection

    def key(self, namespace: str, name: str) -> str:
        """The store's key of one object."""
        return f"{self.collection}{namespace}/{name}" if self.resource.namespaced else f"{self.collection}{name}"
