"""Discovery: which groups, versions, resources and verbs there are, in the legacy and in the aggregated form.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api, KEP-3352
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from knet.api.resources import Resource
from knet.store import Object


@dataclass(frozen=True, slots=True)
class Sub:
    """A subresource as discovery shows it; ``kind`` "" is that of the resource."""

    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""

    def kind_of(self, row: Resource) -> str:
        """The kind of its objects, or options."""
        return self.kind.format(row.kind) or row.kind


_STATUS = Sub(("get", "patch", "update"))
SUBRESOURCES: Mapping[str, Sub] = {
    "status": _STATUS,
    "approval": _STATUS,
    "scale": Sub(("get", "patch", "update"), "Scale", "autoscaling", "v1"),
    "binding": Sub(("create",), "Binding"),
    "ephemeralcontainers": _STATUS,
    "eviction": Sub(("create",), "Eviction", "policy", "v1"),
    "log": Sub(("get",)),
    "exec": Sub(("create", "get"), "PodExecOptions"),
    "attach": Sub(("create", "get"), "PodAttachOptions"),
    "portforward": Sub(("create", "get"), "PodPortForwardOptions"),
    "proxy": Sub(("create", "delete", "get", "patch", "update"), "{}ProxyOptions"),
    "token": Sub(("create",), "TokenRequest", "authentication.k8s.io", "v1"),
    "finalize": Sub(("update",)),
}
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
AGGREGATED = ("v2", "v2beta1")


def ordered(resources: Iterable[Resource]) -> list[Resource]:
    """Rows as discovery lists them: groups as they come, custom ones by name; the preferred version first."""
    rows = list(resources)
    groups = list(dict.fromkeys(row.group for row in rows if not row.custom))
    groups += sorted({row.group for row in rows} - set(groups))
    place = {group: number for number, group in enumerate(groups)}
    known = dict.fromkeys((row.group, row.version) for row in rows if not row.custom)
    first = {version: number for number, version in enumerate(known)}

    def key(row: Resource) -> tuple[int, int, tuple[int, ...], str]:
        return (
            place[row.group],
            first.get((row.group, row.version), len(first)),
            version_rank(row.version),
            row.plural if row.custom else "",
        )

    return sorted(rows, key=key)


def version_rank(version: str) -> tuple[int, ...]:
    """Sorts versions by preference: v10, v2, v1, v2beta1, v1beta2, v1alpha1, then anything else by name.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, *map(ord, version))
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0))


def documents(resources: Sequence[Resource], more: Iterable[str] = ()) -> dict[str, object]:
    """Path → legacy discovery document; ``more`` are paths that the root names, too."""
    groups: dict[str, list[Resource]] = {}
    for row in resources:
        groups.setdefault(row.group, []).append(row)
    found: dict[str, object] = {
        "/": {"paths": sorted({*_paths(resources), *more})},
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    }
    group_list = []
    for group, rows in groups.items():
        versions = list(dict.fromkeys(row.version for row in rows))
        for version in versions:
            served = [row for row in rows if row.version == version]
            found[served[0].root] = {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": served[0].api_version,
                "resources": [entry for row in served for entry in _entries(row)],
            }
        if group:
            described = _group(group, versions)
            group_list.append(described)
            found[f"/apis/{group}"] = {"kind": "APIGroup", "apiVersion": "v1", **described}
    found["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": group_list}
    return found


def _paths(resources: Iterable[Resource]) -> set[str]:
    roots = {row.root for row in resources}
    parents = {"/api", "/apis"} | {root.rpartition("/")[0] for root in roots}
    others = {"/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
    return roots | parents | others


def _group(group: str, versions: Sequence[str]) -> Object:
    rows = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": rows, "preferredVersion": rows[0]}


def _entries(row: Resource) -> list[Object]:
    entry: Object = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    # clients compare it to tell whether a stored object has the same form in two versions
    entry["storageVersionHash"] = base64.b64encode(
        hashlib.sha256(f"{row.group}/{row.version}/{row.kind}".encode()).digest()[:8]
    ).decode()
    entries = [entry]
    for name in row.subresources:
        sub = SUBRESOURCES[name]
        described: Object = {
            "name": f"{row.plural}/{name}",
            "singularName": "",
            "namespaced": row.namespaced,
            "kind": sub.kind_of(row),
            "verbs": list(sub.verbs),
        }
        if sub.version:
            described |= {"group": sub.group, "version": sub.version}
        entries.append(described)
    return entries


def wants_aggregated(accept: str) -> str:
    """The version of the aggregated form, if that is the client's first choice, else ""."""
    for entry in accept.split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in entry.split(";")[1:])
        if not entry.strip().startswith("application/json"):
            continue
        if parameters.get("as") != "APIGroupDiscoveryList":
            return ""
        if parameters.get("v") in AGGREGATED:
            return parameters["v"]
    return ""


def aggregated(resources: Sequence[Resource], core: bool, version: str) -> Object:
    """APIGroupDiscoveryList of /api (core) or /apis; v2 and v2beta1 differ in name only."""
    groups: dict[str, dict[str, list[Resource]]] = {}
    for row in resources:
        if (row.group == "") == core:
            groups.setdefault(row.group, {}).setdefault(row.version, []).append(row)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {"version": name, "resources": [_discovery(row) for row in rows], "freshness": "Current"}
                    for name, rows in versions.items()
                ],
            }
            for group, versions in groups.items()
        ],
    }


def _discovery(row: Resource) -> Object:
    described: Object = {
        "resource": row.plural,
        "responseKind": _gvk(row.group, row.version, row.kind),
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        described["shortNames"] = list(row.short_names)
    if row.categories:
        described["categories"] = list(row.categories)
    if row.subresources:
        described["subresources"] = [_subresource(row, name, SUBRESOURCES[name]) for name in row.subresources]
    return described


def _subresource(row: Resource, name: str, sub: Sub) -> Object:
    kind = (sub.group, sub.version, sub.kind) if sub.version else (row.group, row.version, sub.kind_of(row))
    return {"subresource": name, "responseKind": _gvk(*kind), "verbs": list(sub.verbs)}


def _gvk(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}
