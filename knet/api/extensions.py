"""CustomResourceDefinitions as controllers read them: which kinds there are beside those of the registry, now."""

from functools import cache

from knet.api import resources
from knet.api.objects import Condition, KubeObject, Part, is_true
from knet.api.resources import Resource


class Names(Part, frozen=True, kw_only=True):
    plural: str = ""
    kind: str = ""


class Version(Part, frozen=True, kw_only=True):
    name: str = ""
    served: bool = False
    storage: bool = False


class DefinitionSpec(Part, frozen=True, kw_only=True):
    group: str = ""
    scope: str = ""
    versions: tuple[Version, ...] = ()


class DefinitionStatus(Part, frozen=True, kw_only=True):
    acceptedNames: Names = Names()
    conditions: tuple[Condition, ...] = ()


class CustomResourceDefinition(KubeObject, frozen=True, kw_only=True):
    resource = resources.CUSTOMRESOURCEDEFINITIONS
    spec: DefinitionSpec = DefinitionSpec()
    status: DefinitionStatus = DefinitionStatus()


@cache
def _row(group: str, version: str, kind: str, plural: str, namespaced: bool) -> Resource:
    """Rows are told apart by identity: what is described alike is one row."""
    return Resource(group, version, kind, plural, namespaced, custom=True)


def rows(definition: CustomResourceDefinition) -> list[Resource]:
    """The rows of the versions that are served, that of the storage version first; none before it is established."""
    spec, names = definition.spec, definition.status.acceptedNames
    if not is_true(definition.status.conditions, "Established"):
        return []
    return [
        _row(spec.group, version.name, names.kind, names.plural, spec.scope == "Namespaced")
        for version in sorted(spec.versions, key=lambda version: not version.storage)
        if version.served
    ]
