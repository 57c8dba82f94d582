"""What the objects of one kind cost at this moment, by namespace: those in the store and those on the way there."""

import time
from dataclasses import dataclass

from knet.api.quota import Charge, Meter, Tally
from knet.apiserver.kind import Kind
from knet.store import Gone, Store


@dataclass(frozen=True, eq=False, slots=True)
class Reservation:
    """What a write adds that has been admitted: it is for the object at the revision ``base`` (0: not there yet).

    Once the object is at another revision, the write is done or will fail: nothing is reserved any longer.
    """

    namespace: str
    key: str
    base: int
    charge: Charge


class Ledger:
    """Follows a collection of the store, a look at its history whenever it is asked for.

    A namespace is added up when it is first asked for.  Every entry is made from the latest state of the object, so
    the order in which changes are noticed makes no difference.
    """

    def __init__(self, store: Store, kind: Kind, meter: Meter) -> None:
        self._store = store
        self._kind = kind
        self._meter = meter
        self._watch = store.watch(kind.collection, store.revision)
        self._tallies: dict[str, Tally] = {}
        self._reserved: dict[str, set[Reservation]] = {}

    async def tally(self, namespace: str) -> Tally:
        """The sums as of now."""
        try:
            while events := await self._watch.next(0):
                for event in events:
                    self._look(event.record.key)
        except Gone:
            self._tallies.clear()
            self._watch = self._store.watch(self._kind.collection, self._store.revision)
        found = self._tallies.get(namespace)
        if found is None or found.due <= time.time():
            found = self._tallies[namespace] = self._count(namespace)
        return found

    def _count(self, namespace: str) -> Tally:
        now = time.time()
        records = self._store.list(self._kind.prefix(namespace)).records
        tally = Tally((record.key, self._meter.measure(record.decode(), now)) for record in records)
        for reservations in self._reserved.values():
            for row in reservations:
                if row.namespace == namespace:
                    tally.put(row, row.charge)
        return tally

    def _look(self, key: str) -> None:
        namespace = key[len(self._kind.collection) :].partition("/")[0]
        tally = self._tallies.get(namespace)
        if tally is None:
            return
        record = self._store.get(key)
        tally.put(key, self._meter.measure(record.decode(), time.time()) if record else None)
        revision = record.revision if record else 0
        for row in self._reserved.get(key, ()):
            if row.base != revision:
                tally.put(row, None)

    def reserve(self, reservation: Reservation) -> None:
        """Count what has been admitted from now on; `settle` ends that."""
        self._reserved.setdefault(reservation.key, set()).add(reservation)
        self._tallies[reservation.namespace].put(reservation, reservation.charge)

    def settle(self, reservation: Reservation) -> None:
        """The object has been stored, or has not: from now on it counts as what is there."""
        rows = self._reserved[reservation.key]
        rows.remove(reservation)
        if not rows:
            del self._reserved[reservation.key]
        if reservation.namespace in self._tallies:
            self._tallies[reservation.namespace].put(reservation, None)
            self._look(reservation.key)
