"""pods/eviction: deletion as ``kubectl drain`` asks for it, as long as the Pod's PodDisruptionBudget allows.

The budget's status says how many Pods may go now.  Whoever takes one of these writes so into the status, with the Pod's
name in ``disruptedPods``, before the Pod is deleted; the disruption controller counts anew once it sees the deletion.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from dataclasses import replace

import orjson

from knet.api.resources import PODDISRUPTIONBUDGETS, Resource
from knet.apiserver import deleting, representation, updating
from knet.apiserver.admission import Request
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.context import Context, now
from knet.apiserver.decoding import decode
from knet.apiserver.http import Response
from knet.apiserver.options import DeleteOptions, delete_options, write_options
from knet.apiserver.reads import find
from knet.apiserver.routes import Target
from knet.apiserver.status import MODIFIED, StatusError, bad_request, conflict, forbidden, too_many_requests
from knet.apiserver.validation.selectors import selector_of
from knet.store import Object

#: evictions that the disruption controller may not have seen yet
_MOST_DISRUPTED = 2000
#: attempts to evict a Pod that somebody keeps changing
_ATTEMPTS = 20
#: seconds after which a client should ask again
_LATER = 10
_VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
#: as messages name it
_BUDGET = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudget")


async def create(call: Call) -> Response:
    """POST of a ``policy/v1`` Eviction; its deleteOptions count as in a DELETE.  StatusError 429, …"""
    options = write_options(call.query, "Create", call.writer)
    kind = call.context.auxiliary["Eviction"]
    eviction = decode(kind, await parsed_body(call.request, kind.type), options)
    if (eviction.get("metadata") or {}).get("name") != call.target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    wanted = eviction.get("deleteOptions") or {}
    if options.dry_run:
        wanted = {**wanted, "dryRun": ["All"]}
    request = Request(call.context, call.target, "CREATE", eviction, None, options, kind.resource)
    await call.context.admission.admit(request)
    await _evict(call.context, call.target, delete_options({}, wanted, call.writer))
    done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return representation.answer(orjson.dumps(done), call.form, 201, options.warnings)


async def _evict(context: Context, target: Target, options: DeleteOptions) -> None:
    for _ in range(_ATTEMPTS):
        pod = find(context, target).decode()
        if not _unprotected(pod):
            return await _evict_protected(context, target, pod, options)
        guarded = options if _over(pod) else _as_seen(pod, options)
        try:
            await deleting.remove(context, target, guarded, _say_why)
            return None
        except StatusError as error:
            if error.code != 409 or guarded is options:
                raise
    raise conflict(target.kind.resource, target.name, MODIFIED)


async def _evict_protected(context: Context, target: Target, pod: Object, options: DeleteOptions) -> None:
    """A Pod that runs: what its budget says, counts."""
    budget = _budget_of(context, pod)
    guarded = options
    if budget is not None and goes_unready(pod, budget):
        guarded = _as_seen(pod, options)
    elif budget is not None:
        await _take(context, budget, pod, options)
    try:
        await deleting.remove(context, target, guarded, _say_why)
    except StatusError as error:
        if budget is not None and error.code == 409 and guarded is not options:
            raise _not_yet(budget) from None
        raise


def _as_seen(pod: Object, options: DeleteOptions) -> DeleteOptions:
    """Only in the state we have seen, so that it cannot become ready, and count, between our look and its end."""
    return options if options.revision else replace(options, revision=pod["metadata"]["resourceVersion"])


def _over(pod: Object) -> bool:
    """Its end is no disruption any more."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended or "deletionTimestamp" in pod["metadata"]


def _unprotected(pod: Object) -> bool:
    """No budget is asked about a Pod that does nothing yet, or nothing any longer."""
    return _over(pod) or (pod.get("status") or {}).get("phase") == "Pending"


def _condition(value: Object, kind: str) -> Object:
    rows = (value.get("status") or {}).get("conditions") or ()
    found: Object = next((row for row in rows if row.get("type") == kind), {})
    return found


def goes_unready(pod: Object, budget: Object) -> bool:
    """Whether a Pod may go because it is not ready, by the budget's unhealthyPodEvictionPolicy.

    IfHealthyBudget, the default: as long as enough others are; AlwaysAllow: whatever becomes of the others.
    """
    if _condition(pod, "Ready").get("status") == "True":
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    return bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0)


def _budget_of(context: Context, pod: Object) -> Object | None:
    """The one budget that covers a Pod; StatusError 500 if there are several, None if there is none."""
    metadata = pod["metadata"]
    listing = context.store.list(context.kinds[PODDISRUPTIONBUDGETS].prefix(metadata["namespace"]))
    labels, covering = metadata.get("labels") or {}, []
    for record in listing.records:
        budget = record.decode()
        selector = (budget.get("spec") or {}).get("selector")
        if selector is not None and selector_of(selector).matches(labels):
            covering.append(budget)
    if len(covering) > 1:
        raise StatusError(500, "", _SEVERAL)
    return covering[0] if covering else None


async def _take(context: Context, budget: Object, pod: Object, options: DeleteOptions) -> None:
    """One disruption less is allowed from now on; StatusError 429 if there is none left."""
    metadata = budget["metadata"]
    target = Target(context.kinds[PODDISRUPTIONBUDGETS], metadata["namespace"], metadata["name"])

    def take(value: Object) -> None:
        refusal = refused(value)
        if refusal is not None:
            raise refusal
        charge(value, pod["metadata"]["name"], now())

    try:
        await updating.rewrite(context, target, take, options.dry_run, options.writer)
    except StatusError as error:
        if error.code != 409:
            raise
        why = f'Timeout: couldn\'t update PodDisruptionBudget "{target.name}" due to conflicts'
        raise StatusError(504, "Timeout", why, {"retryAfterSeconds": _LATER}) from None


def refused(budget: Object) -> StatusError | None:
    """What a budget has against an eviction; None if one more is allowed."""
    metadata, status = budget["metadata"], budget.get("status") or {}
    name, allowed = metadata["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < metadata.get("generation", 0):
        return _not_yet(budget)
    if allowed < 0:
        return forbidden(_BUDGET, name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        return forbidden(_BUDGET, name, why)
    if allowed == 0:
        row = _condition(budget, "DisruptionAllowed")
        counts = (
            f"needs {status.get('desiredHealthy', 0)} healthy pods and has {status.get('currentHealthy', 0)} currently"
        )
        if row.get("status") == "False" and row.get("reason") == "SyncFailed":
            counts = f"does not allow evicting pods currently because it failed sync: {row.get('message', '')}"
        return too_many_requests(_VIOLATION, 0, "DisruptionBudget", f"The disruption budget {name} {counts}")
    return None


def _not_yet(budget: Object) -> StatusError:
    text = f"The disruption budget {budget['metadata']['name']} is still being processed by the server."
    return too_many_requests(_VIOLATION, _LATER, "DisruptionBudget", text)


def charge(budget: Object, pod: str, time: str) -> None:
    """Write down that a Pod is about to go."""
    status = budget["status"]
    status["disruptionsAllowed"] -= 1
    status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: time}
    if not status["disruptionsAllowed"]:
        seen = status.get("observedGeneration", 0)
        row = {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": ""}
        _put_condition(status, {**row, "observedGeneration": seen, "lastTransitionTime": time})


def _say_why(pod: Object) -> None:
    """Of a Pod that is deleted, why (KEP-3329)."""
    row = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    _put_condition(pod["status"], {**row, "message": "Eviction API: evicting", "lastTransitionTime": now()})


def _put_condition(status: Object, new: Object) -> None:
    """In place of the one of its type, whose time it keeps where the state stays the same."""
    rows = status.get("conditions") or []
    old: Object = next((row for row in rows if row.get("type") == new["type"]), {})
    if old.get("status") == new["status"]:
        new = {**new, "lastTransitionTime": old.get("lastTransitionTime", new["lastTransitionTime"])}
    status["conditions"] = [*(row for row in rows if row.get("type") != new["type"]), new]
