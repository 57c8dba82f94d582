"""Old requests are removed: an hour after they were decided, a day after they were made if nobody ever did.

pkg/controller/certificates/cleaner of upstream, which looks once an hour; here each goes when its time has come.
"""

from datetime import UTC, datetime

from knet.api.certificates import CertificateSigningRequest
from knet.client import Conflict, Controller, Key, NotFound
from knet.client.controller import Result, key_of
from knet.controllers.context import Context

_HOUR = 3600
#: seconds after which a request goes: undecided, or after a condition was set
_PENDING, _DECIDED = 24 * _HOUR, {"Approved": _HOUR, "Denied": _HOUR, "Failed": _HOUR}


def build(context: Context) -> Controller:
    controller = Controller("certificatesigningrequest-cleaner", Cleaner(context), workers=1)

    def changed(old: CertificateSigningRequest | None, new: CertificateSigningRequest | None) -> None:
        if new is not None:
            controller.enqueue(key_of(new))

    context.informers.of(CertificateSigningRequest).subscribe(changed)
    return controller


class Cleaner:
    """Keys are requests."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._requests = context.informers.of(CertificateSigningRequest)

    async def reconcile(self, key: Key) -> Result | None:
        request = self._requests.get("", key.name)
        if request is None or request.deleting:
            return None
        left = seconds_left(request, datetime.now(UTC))
        if left is None or left > 0:
            return Result(requeue_after=left) if left is not None else None
        try:
            await self._client.delete(CertificateSigningRequest, request.name, uid=request.uid)
        except (NotFound, Conflict):
            pass
        return None


def seconds_left(request: CertificateSigningRequest, now: datetime) -> float | None:
    """Until it goes; None for one that is approved and still waits for its signer."""
    condition = request.condition(*_DECIDED)
    if condition is None:
        since, kept = request.metadata.creationTimestamp, _PENDING
    elif condition.type == "Approved" and not request.status.certificate and request.condition("Failed") is None:
        return None
    else:
        since, kept = condition.lastUpdateTime, _DECIDED[condition.type]
    if since is None:
        return None
    return kept - (now - datetime.fromisoformat(since)).total_seconds()
