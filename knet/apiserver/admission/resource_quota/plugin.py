"""The decision about one request, and what its quotas' status shows afterwards."""

import asyncio
import logging
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from knet.api.quota import UNCOUNTED, Amounts, Charge, Limits, Meter, limits_of, meter_of, refusal
from knet.api.resources import RESOURCEQUOTAS, Resource
from knet.apiserver import updating
from knet.apiserver.admission.request import Request
from knet.apiserver.admission.resource_quota.ledger import Ledger, Reservation
from knet.apiserver.context import Context
from knet.apiserver.reads import find
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError
from knet.store import Object

log = logging.getLogger(__name__)


def _enforced(quotas: list[Object]) -> list[Limits]:
    return [limits_of(quota) for quota in quotas]


class ResourceQuotas:
    """The plugin of one server."""

    def __init__(self) -> None:
        self._ledgers: dict[Resource, Ledger] = {}
        #: by namespace, while somebody uses it: whoever writes status writes the sum of all who wait for that
        self._publishing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def validate(self, request: Request) -> None:
        """Raises StatusError 403; where there is no quota, it costs next to nothing."""
        resource, namespace = request.resource, request.target.namespace
        if not resource.namespaced or resource in UNCOUNTED or request.target.subresource:
            return
        quotas = request.derive(RESOURCEQUOTAS, _enforced, namespace)
        if not quotas:
            return
        meter = meter_of(resource)
        more = _more(request, meter)
        if more is None or not any(quota.counted(meter) for quota in quotas):
            return
        ledger = self._ledger(request.context, resource, meter)
        tally = await ledger.tally(namespace)
        if why := refusal(quotas, meter, request.new, more, lambda quota: tally.used(quota, meter)):
            raise request.forbidden(why)
        if request.options.dry_run:
            return
        base = int(request.old["metadata"]["resourceVersion"]) if request.old else 0
        key = request.target.kind.key(namespace, str(request.new["metadata"]["name"]))
        reservation = Reservation(namespace, key, base, more)
        ledger.reserve(reservation)

        async def settle() -> None:
            ledger.settle(reservation)
            await self._publish(request.context, namespace, quotas, ledger, meter)

        request.settling.append(settle)

    def _ledger(self, context: Context, resource: Resource, meter: Meter) -> Ledger:
        found = self._ledgers.get(resource)
        if found is None:
            found = self._ledgers[resource] = Ledger(context.store, context.kinds[resource], meter)
        return found

    async def _publish(
        self, context: Context, namespace: str, quotas: list[Limits], ledger: Ledger, meter: Meter
    ) -> None:
        """Let the quotas' status show what is used, before the client hears of its success."""
        lock = self._publishing.get(namespace)
        if lock is None:
            lock = self._publishing[namespace] = asyncio.Lock()
        async with lock:
            tally = await ledger.tally(namespace)
            for quota in quotas:
                if quota.counted(meter):
                    await _show(context, namespace, quota.name, lambda row: tally.used(row, meter))


async def _show(context: Context, namespace: str, name: str, used: Callable[[Limits], Amounts]) -> None:
    """Bring one status up to date."""
    target = Target(context.kinds[RESOURCEQUOTAS], namespace, name)

    def change(value: Object) -> None:
        value["status"]["used"] |= {name: str(amount) for name, amount in used(limits_of(value)).items()}

    try:
        present = find(context, target).decode()
        before = dict(present["status"]["used"])
        change(present)
        if present["status"]["used"] != before:
            await updating.rewrite(context, target, change)
    except StatusError as error:
        # it has just been deleted, or others write it without pause: the quota controller is there for that
        log.info("quota %s/%s: %s", namespace, name, error.message)


def _more(request: Request, meter: Meter) -> Charge | None:
    """By how much the use grows with a request; None if it does not."""
    now = time.time()
    charge = meter.measure(request.new, now)
    amounts = dict(charge.amounts)
    if request.old is not None:
        for name, amount in meter.measure(request.old, now).amounts.items():
            if name in amounts:
                amounts[name] -= amount
    grown = {name: amount for name, amount in amounts.items() if amount.amount > 0}
    return charge._replace(amounts=grown) if grown else None
