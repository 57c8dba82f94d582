"""The next step of a rolling update.

Total pods may reach desired + maxSurge, available pods may sink to desired - maxUnavailable; between these two
the new ReplicaSet grows and the old ones shrink, in as many steps as pods take to become available.  Each pass
either grows the new one or shrinks old ones, never both, so that each is decided on what the other has become.

Unlike upstream, no pass decides on a status that tells of a size of before: both bounds hold for the pods themselves in
every single state, and not just for the sizes that are asked for.
"""

from knet.api.objects import Deployment, ReplicaSet
from knet.controllers.deployment.bounds import bounds
from knet.controllers.deployment.scaling import Scale, active_sets, available_of, by_age, observed


def plan_rolling(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> list[Scale]:
    """The sizes to write now; [] when nothing may move until pods change."""
    size = new_size(deployment, new, old)
    if size != new.spec.replicas:
        return [Scale(new, size)]
    return shrink_old(deployment, new, old)


def new_size(deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> int:
    """How large the new ReplicaSet may be now (0 so far if it is yet to be made).

    Worked example, 10 replicas, surge 3: beside 10 old pods the new one starts with 3; once the old ones are
    8, with 5.
    """
    desired = deployment.spec.replicas
    current = new.spec.replicas if new is not None else 0
    if current >= desired or deployment.spec.strategy.type != "RollingUpdate":
        return desired
    if not all(map(observed, old)):
        return current
    room = desired + bounds(deployment).surge - current - sum(map(present, old))
    return current + max(0, min(room, desired - current))


def present(row: ReplicaSet) -> int:
    """How many pods it has or is going to have: one that was made smaller has those that it still reports.

    Upstream counts what is asked for, and so for a moment there may be more pods than the surge allows: new ones made
    before the old ones have been told to go.
    """
    return max(row.spec.replicas, row.status.replicas)


def shrink_old(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> list[Scale]:
    """Take from old ReplicaSets what availability does not need: pods that serve nobody first, then the oldest's.

    Worked example, 10 replicas, maxUnavailable 2, maxSurge 3:

    - New 5, old 8, and the new pods crash: 13 pods - 8 needed - 5 unavailable new ones = 0.  Even if an old pod
      fails, no old one goes.  After `rollout undo` the roles change: 13 - 8 - 1 = 4 crashing pods may go.
    - Instead a third template is pushed: its ReplicaSet starts at 0, since 13 pods are there; 13 - 8 - 0 = 5 of
      the two others may go, the crashing ones first, which makes room for it.
    """
    old = active_sets(by_age(old))
    if not all(map(observed, (new, *old))):
        return []
    needed = deployment.spec.replicas - bounds(deployment).unavailable
    total = new.spec.replicas + sum(row.spec.replicas for row in old)
    allowance = total - needed - (new.spec.replicas - available_of(new))
    if allowance <= 0:
        return []
    sizes = {row.uid: row.spec.replicas for row in old}
    for row in old:
        broken = row.spec.replicas - available_of(row)
        taken = min(broken, allowance)
        sizes[row.uid] -= taken
        allowance -= taken
    spare = sum(map(available_of, (new, *old))) - needed
    for row in old:
        taken = min(sizes[row.uid], max(0, spare))
        sizes[row.uid] -= taken
        spare -= taken
    return [Scale(row, sizes[row.uid]) for row in old if sizes[row.uid] != row.spec.replicas]
