"""componentstatuses: computed at each read from the Leases that the components hold and from the store.

Upstream asks the components' health ports; here, as there, it is deprecated and the answer says so.
"""

from datetime import UTC, datetime, timedelta

from knet.api.names import SYSTEM_NAMESPACE
from knet.api.resources import LEASES
from knet.apiserver.call import Call
from knet.apiserver.context import Context
from knet.apiserver.http import Response
from knet.apiserver.status import not_found
from knet.apiserver.subresources import computed
from knet.store import Object

#: name → the Lease that its leader renews
_LEASES = {"controller-manager": "kube-controller-manager", "scheduler": "kube-scheduler"}


async def read(call: Call) -> Response:
    """GET of the list or of one."""
    found = statuses(call.context)
    if not call.target.name:
        return computed.answer_list(call, found, {"resourceVersion": ""})
    for value in found:
        if value["metadata"]["name"] == call.target.name:
            return computed.answer_one(call, value)
    raise not_found(call.target.kind.resource, call.target.name)


def statuses(context: Context) -> list[Object]:
    """The scheduler, the controller manager and the store, in order of their names."""
    found = [_status(name, *_holds(context, lease)) for name, lease in sorted(_LEASES.items())]
    return sorted([*found, _status("etcd-0", True, "ok")], key=lambda value: str(value["metadata"]["name"]))


def _status(name: str, healthy: bool, message: str) -> Object:
    condition = {"type": "Healthy", "status": "True" if healthy else "False", "message": message}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


def _holds(context: Context, lease: str) -> tuple[bool, str]:
    """Whether somebody has renewed the Lease in time."""
    record = context.store.get(context.kinds[LEASES].key(SYSTEM_NAMESPACE, lease))
    spec = record.decode().get("spec", {}) if record else {}
    if not spec.get("renewTime"):
        return False, f"nobody holds the lease {SYSTEM_NAMESPACE}/{lease}"
    age = datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])
    if age > timedelta(seconds=spec.get("leaseDurationSeconds") or 0):
        return False, f"the lease {SYSTEM_NAMESPACE}/{lease} was last renewed at {spec['renewTime']}"
    return True, "ok"
