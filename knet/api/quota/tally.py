"""The charges of all objects of one kind in one namespace, added up as they come and go."""

import math
from collections.abc import Hashable, Iterable

from knet.api.pod_resources import add
from knet.api.quantity import Quantity, quantity
from knet.api.quota.limits import Limits
from knet.api.quota.meters import Charge, Meter, Traits

_NONE = quantity(0)


class Tally:
    """Sums by traits: what a quota counts is the sum of the few groups that its scopes cover."""

    def __init__(self, charges: Iterable[tuple[Hashable, Charge]] = ()) -> None:
        self._charges: dict[Hashable, Charge] = {}
        self._sums: dict[Traits | None, dict[str, Quantity]] = {}
        #: Unix time from which on a charge is less than was counted, so that all have to be measured anew
        self.due = math.inf
        for key, charge in charges:
            self.put(key, charge)

    def put(self, key: Hashable, charge: Charge | None) -> bool:
        """An object costs this from now on; None: it is gone.  Whether that is a change."""
        old = self._charges.pop(key, None)
        if old is not None:
            sums = self._sums[old.traits]
            for name, amount in old.amounts.items():
                sums[name] -= amount
        if charge is not None:
            self._charges[key] = charge
            add(self._sums.setdefault(charge.traits, {}), charge.amounts)
            self.due = min(self.due, charge.until)
        return old != charge

    def used(self, quota: Limits, meter: Meter) -> dict[str, Quantity]:
        """What the objects cost a quota, by its names for it."""
        total = dict.fromkeys(quota.counted(meter), _NONE)
        for traits, sums in self._sums.items():
            if quota.covers(traits):
                add(total, {name: sums[name] for name in total if name in sums})
        return total
