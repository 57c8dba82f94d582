"""The promise of a rolling update, under anything that can happen to it.

A model of ReplicaSets and pods: sizes are carried out, pods become available or fail, in any order and with the
statuses lagging behind, while templates change, the Deployment is scaled, paused and resumed.  However it comes:

- the controller never asks for more than desired + maxSurge pods;
- it never takes away an available pod that is needed to keep desired - maxUnavailable of them.
"""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from knet.api.objects import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    Meta,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdate,
)
from knet.controllers.deployment.bounds import bounds
from knet.controllers.deployment.rolling import new_size, plan_rolling
from knet.controllers.deployment.scaling import Scale


@dataclass
class Group:
    """A ReplicaSet: the size asked for, its pods (True: available), and what its status last said."""

    size: int
    pods: list[bool]
    reported: int = 0

    def carry_out(self) -> None:
        """What the ReplicaSet controller does: missing pods are made, surplus ones go, unavailable ones first."""
        self.pods.sort(reverse=True)
        del self.pods[self.size :]
        self.pods += [False] * (self.size - len(self.pods))

    def report(self) -> None:
        self.reported = sum(self.pods)


class World:
    def __init__(self, replicas: int, surge: int, unavailable: int) -> None:
        how = RollingUpdate(maxSurge=surge, maxUnavailable=unavailable)
        strategy = DeploymentStrategy(rollingUpdate=how)
        self.deployment = Deployment(
            metadata=Meta(name="web", uid="d"), spec=DeploymentSpec(replicas=replicas, strategy=strategy)
        )
        self.limits = bounds(self.deployment)
        first = Group(replicas, [True] * replicas)
        first.report()
        self.groups = [first]

    def seen(self, number: int) -> ReplicaSet:
        group = self.groups[number]
        return ReplicaSet(
            metadata=Meta(name=f"g{number}", uid=f"g{number}", creationTimestamp=f"2025-01-01T00:{number:02}:00Z"),
            spec=ReplicaSetSpec(replicas=group.size),
            status=ReplicaSetStatus(replicas=len(group.pods), availableReplicas=group.reported),
        )

    def sync(self) -> list[Scale]:
        """One pass of the controller, and the checks on what it wants."""
        seen = [self.seen(number) for number in range(len(self.groups))]
        scales = plan_rolling(self.deployment, seen[-1], seen[:-1])
        before = sum(group.size for group in self.groups)
        # a pod that has become available and was not reported yet cannot be known to be needed
        kept = sum(min(group.size, group.reported, sum(group.pods)) for group in self.groups)
        for row, size in scales:
            self.groups[int(row.name[1:])].size = size
        after = sum(group.size for group in self.groups)
        desired = self.deployment.spec.replicas
        assert after <= max(before, desired + self.limits.surge), "more pods than desired + maxSurge"
        left = sum(min(group.size, sum(group.pods)) for group in self.groups)
        floor = desired - self.limits.unavailable
        assert left >= min(kept, floor), "an available pod was taken that was needed"
        return scales

    def new_template(self) -> None:
        seen = [self.seen(number) for number in range(len(self.groups))]
        size = new_size(self.deployment, None, seen)
        self.groups.append(Group(size, []))
        assert sum(group.size for group in self.groups) <= self.deployment.spec.replicas + self.limits.surge

    def settle(self) -> None:
        """Everything becomes available and is reported, until the controller has nothing left to do."""
        for _ in range(200):
            for group in self.groups:
                group.carry_out()
                group.pods = [True] * len(group.pods)
                group.report()
            if not self.sync():
                return
        raise AssertionError("the rollout does not end")


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["sync", "template"])),
        st.tuples(st.sampled_from(["carry_out", "report"]), st.integers(0, 3)),
        st.tuples(st.just("available"), st.integers(0, 3), st.integers(0, 11)),
        st.tuples(st.just("fail"), st.integers(0, 3), st.integers(0, 11)),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(replicas=st.integers(1, 12), surge=st.integers(0, 4), unavailable=st.integers(0, 4), events=EVENTS)
def test_a_rolling_update_keeps_its_promise(
    replicas: int, surge: int, unavailable: int, events: list[tuple[str, *tuple[int, ...]]]
) -> None:
    world = World(replicas, surge, unavailable)
    for kind, *rest in events:
        if kind == "sync":
            world.sync()
            continue
        if kind == "template":
            if len(world.groups) < 4:
                world.new_template()
            continue
        group = world.groups[rest[0] % len(world.groups)]
        if kind == "carry_out":
            group.carry_out()
        elif kind == "report":
            group.report()
        elif group.pods:
            group.pods[rest[1] % len(group.pods)] = kind == "available"
            if kind == "fail":  # a loss is in the status before the controller decides again: it is its only eye
                group.report()
    world.settle()
    assert [group.size for group in world.groups] == [0] * (len(world.groups) - 1) + [replicas]
