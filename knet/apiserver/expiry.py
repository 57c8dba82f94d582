"""Events are kept for an hour (upstream's --event-ttl), so that a cluster that runs for weeks does not fill up."""

import asyncio

from knet.api.resources import EVENTS
from knet.apiserver.context import Context
from knet.apiserver.tables.times import seconds_since
from knet.apiserver.user import SERVER
from knet.store import Conflict, Object

#: seconds; upstream's default
EVENT_TTL = 3600
#: seconds between two looks
PERIOD = 60


async def expire_events(context: Context) -> None:
    """Delete what is too old, for as long as the server runs."""
    while True:
        await asyncio.sleep(PERIOD)
        await sweep(context)


async def sweep(context: Context) -> None:
    """One look at all Events.  One that has just happened again, and so was written meanwhile, stays."""
    for record in context.store.list(context.kinds[EVENTS].collection).records:
        value = record.decode()
        if is_expired(value):
            try:
                await context.store.write(record.key, value, record.revision, delete=True, by=SERVER)
            except Conflict:
                continue


def is_expired(value: Object) -> bool:
    """Whether an Event's last occurrence, as far as it is known, is longer ago than the TTL."""
    times = (value.get("lastTimestamp"), value.get("eventTime"), value["metadata"].get("creationTimestamp"))
    ages = [seconds for time in times if time and (seconds := seconds_since(time)) is not None]
    return bool(ages) and min(ages) > EVENT_TTL
