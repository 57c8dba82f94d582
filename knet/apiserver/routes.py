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
    #: the path says "watch" (before there was ``?watch=true``)
    watch: bool = False
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
        if rest[0] == "watch" and len(rest) > 1:
            target = self._in(group, version, rest[1:])
            return replace(target, watch=True) if target is not None and not target.subresource else None
        return self._in(group, version, rest)

    def serves(self, path: str) -> bool:
        """Whether a path is below a group and version of which something is served."""
        match path.split("/"):
            case ["", "api", version, *_]:
                return any(key[:2] == ("", version) for key in self._by_plural)
            case ["", "apis", group, version, *_]:
                return any(key[:2] == (group, version) for key in self._by_plural)
        return False

    def _in(self, group: str, version: str, rest: list[str]) -> Target | None:
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
    return Target(kind, namespace, name, subresource, rest="/".join(rest[2:]))
