"""When two pod templates are the same, and the hash that names the ReplicaSet of one.

A template arrives in many spellings of the same thing: kubectl writes ``creationTimestamp: null`` and
``resources: {}`` where a manifest leaves them out.  Upstream compares decoded Go structs, in which these vanish; we
compare JSON with them taken out.  The hash is upstream's in form (FNV-1a over the template and collisionCount, its
decimal digits in an alphabet without vowels, so that no word appears by chance), not in value: that depends on
how Go prints structs and differs between upstream's own releases, which is why nobody may compare hashes.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from knet.api.names import TEMPLATE_HASH_LABEL
from knet.api.objects import JSON, Deployment, ReplicaSet

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

#: maps with free keys: what is in them counts even where it is empty
_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "limits", "requests"})
#: Go structs (not pointers) that are written as {} when nothing is set; any other {} has a meaning (emptyDir: {})
_EMPTY_STRUCTS = frozenset({"resources", "metadata", *_MAPS})
#: plain booleans whose false is left out by Go; for others (optional, readOnlyRootFilesystem) false is a choice
_PLAIN_BOOLEANS = frozenset({"hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly"})


def normal(value: Any, key: str = "") -> Any:
    """A template without what Go's encoding would leave out."""
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, dict) or key in _MAPS:
        return value
    cleaned = {name: normal(item, name) for name, item in value.items()}
    return {name: item for name, item in cleaned.items() if not _vanishes(name, item)}


def _vanishes(name: str, value: Any) -> bool:
    if value is None or value == [] or value == "":
        return True
    if value == {}:
        return name in _EMPTY_STRUCTS
    return value is False and name in _PLAIN_BOOLEANS


def _without_hash(template: JSON) -> JSON:
    meta = template.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != TEMPLATE_HASH_LABEL}
    return {**template, "metadata": {**meta, "labels": labels}}


def same_template(one: JSON, other: JSON) -> bool:
    """Whether pods of both would be alike; the pod-template-hash label does not count (EqualIgnoreHash)."""
    return bool(normal(_without_hash(one)) == normal(_without_hash(other)))


def template_hash(template: JSON, collisions: int | None = None) -> str:
    """The pod-template-hash: eight to ten characters, always the same for the same template and collision count."""
    text = orjson.dumps(normal(_without_hash(template)), option=orjson.OPT_SORT_KEYS)
    if collisions is not None:
        text += collisions.to_bytes(8, "little")
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(_fnv1a(text)))


def _fnv1a(data: bytes) -> int:
    """FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/"""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """The ReplicaSet of the current template; of several (hand-made) ones the oldest, so that we never waver."""
    alike = [row for row in sets if same_template(row.spec.template, deployment.spec.template)]
    return min(alike, key=lambda row: (row.metadata.creationTimestamp or "", row.name), default=None)
