"""maxSurge and maxUnavailable, numbers or percentages, as pods."""

from typing import NamedTuple

from knet.api.objects import Deployment, RollingUpdate


class Bounds(NamedTuple):
    """At most desired + ``surge`` pods, at least desired - ``unavailable`` of them available."""

    surge: int
    unavailable: int


def resolve(value: int | str, total: int, round_up: bool) -> int:
    """``"25%"`` of ``total``, rounded; a number stays.  ValueError where it is neither (intstr.GetScaledValue…)."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {value!r}")
    scaled = int(value[:-1]) * total
    return -(-scaled // 100) if round_up else scaled // 100


def bounds(deployment: Deployment) -> Bounds:
    """The bounds of a rolling update; none of either for Recreate.

    Surge is rounded up and unavailability down, in the user's favour; where both come to nothing, one pod may be
    unavailable, or the rollout could never begin (ResolveFenceposts).  Worked example, 25 % of 10 replicas: surge
    3, unavailable 2; of 1 replica: surge 1, unavailable 0.
    """
    if deployment.spec.strategy.type != "RollingUpdate":
        return Bounds(0, 0)
    replicas = deployment.spec.replicas
    wanted = deployment.spec.strategy.rollingUpdate or RollingUpdate()
    surge = resolve(wanted.maxSurge, replicas, round_up=True)
    unavailable = resolve(wanted.maxUnavailable, replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(surge, min(unavailable, replicas))
