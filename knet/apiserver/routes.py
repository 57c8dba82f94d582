"""From a path to the resource it names: pure, and shared by all operations.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from knet.apiserver.kind import Kind


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about.  ``namespace`` "" with a namespaced kind means all namespaces."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    #: what follows the subresource: the path inside a proxied service
    rest: str = ""

    @property
    def stored(self) -> "Target":
        """The same object in the form in which it is stored."""
        return replace(self, kind=self.kind.stored) if self.kind.conversion else self


class Routes:
    """The paths of the served kinds."""

    def __init__(self, by_plural: Mapping[tuple[str, str, str], Kind]) -> None:
        """``by_plural``: (group, version, plural) → kind, as it is at each request."""
        self._by_plural = by_plural

    def find(self, raw_path: str) -> Target | None:
        """The target of a percent-encoded path without query; None where nothing is served.

        ``/api/v1/namespaces/default/pods/web/log``, ``/apis/apps/v1/deployments``, ``/api/v1/namespaces/default``
        """
        parts = raw_path.rstrip("/").split("/")
        if "%" in raw_path:
            parts = [unquote(part) for part in parts]
        match parts:
            case ["", "api", version, *rest]:
                group = ""
            case ["", "apis", group, version, *rest] if group:
                pass
            case _:
                return None
        if not rest or "" in rest[:4]:
            return None
        if rest[0] == "namespaces" and len(rest) > 2:
            kind = self._by_plural.get((group, version, rest[2]))
            if kind is not None and kind.resource.namespaced:
                return _target(kind, rest[1], rest[3:])
            # not a resource in a namespace, so a subresource of the namespace itself
        kind = self._by_plural.get((group, version, rest[0]))
        if kind is None or (kind.resource.namespaced and len(rest) > 1):
            return None
        return _target(kind, "", rest[1:])


def _target(kind: Kind, namespace: str, rest: list[str]) -> Target | None:
    name = rest[0] if rest else ""
    subresource = rest[1] if len(rest) > 1 else ""
    if subresource and subresource not in kind.resource.subresources:
        return None
    if len(rest) > 2 and subresource != "proxy":
        return None
    return Target(kind, namespace, name, subresource, "/".join(rest[2:]))
