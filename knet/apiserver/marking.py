"""What a deletion makes of an object: nothing is left of it, or a mark that tells who still has to do something.

Upstream's rules (registry/rest/delete.go, registry/generic/registry/store.go).  A Pod on a node gets its grace period
and stays until the kubelet deletes it with grace 0; an object with finalizers stays until an update takes away the last
of them; propagationPolicy is carried out by the garbage collector, to which it speaks in finalizers.
"""

from datetime import datetime

from knet.api.names import FOREGROUND_FINALIZER, ORPHAN_FINALIZER
from knet.apiserver.context import timestamp
from knet.apiserver.kind import Kind
from knet.apiserver.options import DeleteOptions
from knet.store import Object

#: propagationPolicy → the garbage collector's finalizer
_FINALIZERS = {"Orphan": ORPHAN_FINALIZER, "Foreground": FOREGROUND_FINALIZER}


def is_pending(kind: Kind, value: Object, options: DeleteOptions) -> bool:
    """Whether an object goes gracefully already, and is not asked to go any sooner."""
    grace = _grace_left(kind, value)
    return grace > 0 and (options.grace is None or _at_least(options.grace) >= grace)


def _grace_left(kind: Kind, value: Object) -> int:
    metadata = value["metadata"]
    graceful = kind.strategy.grace_period is not None and "deletionTimestamp" in metadata
    return _at_least(metadata.get("deletionGracePeriodSeconds") or 0) if graceful else 0


def _at_least(grace: int) -> int:
    """Nobody has less than no time."""
    return 1 if grace < 0 else grace


def mark(kind: Kind, value: Object, options: DeleteOptions, now: int) -> bool:
    """Put a deletion that is not pending into an object; True if nothing keeps it any longer.

    ``now`` is a Unix time.
    """
    metadata = value["metadata"]
    first = "deletionTimestamp" not in metadata
    if first:
        kind.strategy.prepare_delete(value)
    grace = 0
    if first and kind.strategy.grace_period is not None:
        grace = kind.strategy.grace_period(value, options.grace)
        _date(metadata, now + grace, grace)
    elif left := _grace_left(kind, value):
        grace = _shorten(metadata, left, _at_least(options.grace or 0), now)
    finalizers = propagation_finalizers(kind, metadata.get("finalizers") or [], options)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if not (finalizers or grace or _namespace_finalizers(kind, value)):
        return True
    if first and metadata.get("generation"):
        metadata["generation"] += 1
    if grace == 0:
        _date(metadata, min(now, _seconds(metadata.get("deletionTimestamp"), now)), 0)
    if kind.resource.kind == "Namespace":
        del metadata["deletionGracePeriodSeconds"]
        value["status"] = {**value.get("status", {}), "phase": "Terminating"}
    return False


def _date(metadata: Object, when: int, grace: int) -> None:
    metadata["deletionTimestamp"] = timestamp(when)
    metadata["deletionGracePeriodSeconds"] = grace


def _seconds(text: str | None, otherwise: int) -> int:
    return int(datetime.fromisoformat(text).timestamp()) if text else otherwise


def _shorten(metadata: Object, left: int, grace: int, now: int) -> int:
    """The grace counts from the first deletion on; who asks for some when it is over has a second to do its work."""
    when = _seconds(metadata["deletionTimestamp"], now) - left + grace
    if when < now:
        when, grace = now, min(grace, 1)
    _date(metadata, when, grace)
    return grace


def propagation_finalizers(kind: Kind, present: list[str], options: DeleteOptions) -> list[str]:
    """An object's finalizers once it is said what becomes of its dependents: by whom, in that order of precedence,
    deletes it, by its own finalizers, by its kind."""
    said = next((policy for name in present for policy in _FINALIZERS if _FINALIZERS[policy] == name), "")
    policy = "" if kind.strategy.propagation == "" else options.propagation or said or kind.strategy.propagation
    wanted = [name for name in present if name not in _FINALIZERS.values()]
    if policy in _FINALIZERS:
        wanted.append(_FINALIZERS[policy])
    return present if set(wanted) == set(present) else wanted


def _namespace_finalizers(kind: Kind, value: Object) -> list[str]:
    """A namespace has finalizers in its spec, too; the namespace controller empties them by /finalize."""
    found: list[str] = value.get("spec", {}).get("finalizers", []) if kind.resource.kind == "Namespace" else []
    return found


def goes_with_update(kind: Kind, value: Object, old: Object) -> bool:
    """Whether an update takes away the last thing that kept a deleted object."""
    before = old["metadata"]
    return (
        "deletionTimestamp" in before
        and not before.get("deletionGracePeriodSeconds")
        and not value["metadata"].get("finalizers")
        and not _namespace_finalizers(kind, value)
    )
