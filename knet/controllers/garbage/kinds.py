"""The kinds that CustomResourceDefinitions bring, as far as the watch has come."""

from knet.api.extensions import CustomResourceDefinition, rows
from knet.api.resources import Resource
from knet.client import SharedInformers


class CustomKinds:
    """Rows of what is served now, and by name those of deleted definitions, to ask the server for the last time."""

    def __init__(self, informers: SharedInformers) -> None:
        self._rows: dict[str, list[Resource]] = {}
        self._former: dict[str, list[Resource]] = {}
        informers.of(CustomResourceDefinition).subscribe(self._changed)

    def _changed(self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> None:
        if new is not None:
            self._rows[new.name] = rows(new)
            self._former.pop(new.name, None)
        elif old is not None:
            self._former[old.name] = self._rows.pop(old.name, [])

    def of(self, definition: str) -> Resource | None:
        """One row, by which all objects of a definition are reached; None while it serves nothing."""
        return next(iter(self._rows.get(definition, ())), None)

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The row of an ``apiVersion`` and ``kind``, of any version that is served, or was until it was deleted."""
        every = (row for table in (self._rows, self._former) for found in table.values() for row in found)
        return next((row for row in every if (row.api_version, row.kind) == (api_version, kind)), None)
