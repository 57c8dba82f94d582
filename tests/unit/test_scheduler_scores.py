"""What each plugin gives to whom: the figures that upstream's formulas have."""

from typing import Any

import msgspec
import pytest
from scheduler_harness import HOSTNAME, ZONE, cluster, decided, framework, node, place, pod

from knet.api.objects import JSON, Pod, Service
from knet.client import key_of
from knet.scheduler.cluster import Cluster
from knet.scheduler.framework import Framework
from knet.scheduler.plugin import POINTS, Handle, Plugin
from knet.scheduler.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from knet.scheduler.plugins.image_locality import ImageLocality
from knet.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from knet.scheduler.plugins.node_affinity import NodeAffinity
from knet.scheduler.plugins.resources_fit import NodeResourcesFit
from knet.scheduler.plugins.taint_toleration import TaintToleration
from knet.scheduler.plugins.topology_spread import PodTopologySpread
from knet.scheduler.pod import PodInfo

WEB = {"matchLabels": {"app": "web"}}


def scores(plugin: Plugin, subject: Pod, on: Cluster, **args: Any) -> list[int]:
    """Of one plugin, for each node."""
    plugin.setup(Handle(on), args)
    by = Framework("", {point: [plugin] for point in POINTS}, on)
    return [total // plugin.weight for total in by.scores(PodInfo(subject), on.nodes)]


def web(name: str = "web", **more: Any) -> Pod:
    return pod(name, labels={"app": "web"}, **more)


# ---- resources ---------------------------------------------------------------------------------------------------

HALF = {"n1": [pod("a", {"cpu": "2", "memory": "2Gi"})]}
RATIO = {
    "type": "RequestedToCapacityRatio",
    "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]},
}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # with the pod on it, n1 uses 3 of 4 cores and 4 of 8 GiB, n2 one core and 2 GiB
        ({}, [(25 + 50) // 2, (75 + 75) // 2]),
        ({"type": "MostAllocated"}, [(75 + 50) // 2, (25 + 25) // 2]),
        ({"type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 3}, {"name": "memory"}]}, [31, 75]),
        (RATIO, [63, 25]),
        # an extended resource counts for those who ask for it
        ({"type": "MostAllocated", "resources": [{"name": "example.com/gpu"}]}, [0, 0]),
    ],
)
def test_how_full_a_node_should_be(strategy: JSON, expected: list[int]) -> None:
    on = cluster(node("n1"), node("n2"), running=HALF)
    subject = pod("b", {"cpu": "1", "memory": "2Gi"})
    assert scores(NodeResourcesFit(), subject, on, scoringStrategy=strategy) == expected


def test_packing_by_an_extended_resource() -> None:
    gpus = {"allocatable": {"example.com/gpu": "4"}}
    on = cluster(node("n1", **gpus), node("n2", **gpus), running={"n2": [pod("a", {"example.com/gpu": "1"})]})
    strategy = {"type": "MostAllocated", "resources": [{"name": "example.com/gpu"}]}
    subject = pod("b", {"example.com/gpu": "2"})
    assert scores(NodeResourcesFit(), subject, on, scoringStrategy=strategy) == [50, 75]


def test_resources_that_the_filter_is_told_to_ignore() -> None:
    on = cluster(node("n1"))
    asks = pod("a", {"example.com/gpu": "1", "other.com/x": "1"})
    assert "Insufficient example.com/gpu" in place(asks, on)
    ignoring = {"NodeResourcesFit": {"ignoredResources": ["example.com/gpu"], "ignoredResourceGroups": ["other.com"]}}
    assert place(asks, on, ignoring) == "n1"


def test_overhead_counts() -> None:
    on = cluster(node("n1"))
    assert "Insufficient cpu" in place(pod("a", {"cpu": "3"}, overhead={"cpu": "1100m"}), on)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"cpu": "1", "memory": "2Gi"}, [87, 100]),  # 3/4 and 4/8, 1/4 and 2/8
        ({"cpu": "2"}, [62, 75]),  # 4/4 and 2/8, 2/4 and 0/8
        ({}, [0, 0]),  # changes nothing: not asked at all
    ],
)
def test_resources_in_equal_parts(asked: dict[str, str], expected: list[int]) -> None:
    on = cluster(node("n1"), node("n2"), running=HALF)
    assert scores(NodeResourcesBalancedAllocation(), pod("b", asked), on) == expected


def test_images_that_are_there() -> None:
    mega = 1024 * 1024
    on = cluster(node("n1", images={"nginx:1": 500 * mega}), node("n2", images={"other:1": 900 * mega}), node("n3"))
    # a third of 500 MB, between 23 and 1,000 MB
    assert scores(ImageLocality(), pod(image="nginx:1"), on) == [14, 0, 0]
    assert scores(ImageLocality(), pod(image="absent:1"), on) == [0, 0, 0]
    on.set_node(node("n1"))
    assert scores(ImageLocality(), pod(image="nginx:1"), on) == [0, 0, 0], "and no more"


# ---- taints and affinity -----------------------------------------------------------------------------------------


def test_taints_that_only_discourage() -> None:
    def taints(*keys: str) -> list[JSON]:
        return [{"key": key, "effect": "PreferNoSchedule"} for key in keys]

    on = cluster(node("n1", taints=taints("a", "b")), node("n2", taints=taints("a")), node("n3"))
    assert scores(TaintToleration(), pod(), on) == [0, 50, 100]
    assert scores(TaintToleration(), pod(tolerations=[{"key": "a", "operator": "Exists"}]), on) == [0, 100, 100]


def test_preferred_nodes() -> None:
    def preferred(label: str, weight: int) -> JSON:
        return {"weight": weight, "preference": {"matchExpressions": [{"key": label, "operator": "Exists"}]}}

    wishes = {"preferredDuringSchedulingIgnoredDuringExecution": [preferred("ssd", 30), preferred("fast", 10)]}
    on = cluster(node("n1", labels={"ssd": "", "fast": ""}), node("n2", labels={"fast": ""}), node("n3"))
    assert scores(NodeAffinity(), pod(affinity={"nodeAffinity": wishes}), on) == [100, 25, 0]


def near(weight: int = 100, key: str = ZONE, **more: Any) -> JSON:
    term = {"topologyKey": key, "labelSelector": WEB, **more}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}


ZONES = (node("n1", "east"), node("n2", "east"), node("n3", "west"))


def test_preferred_company() -> None:
    on = cluster(*ZONES, running={"n1": [web()]})
    assert scores(InterPodAffinity(), pod(affinity={"podAffinity": near()}), on) == [100, 100, 0]
    assert scores(InterPodAffinity(), pod(affinity={"podAntiAffinity": near()}), on) == [0, 0, 100]
    assert scores(InterPodAffinity(), pod(affinity={"podAffinity": near(key=HOSTNAME)}), on) == [100, 0, 0]
    assert scores(InterPodAffinity(), pod(), on) == [0, 0, 0]


def test_what_those_who_are_there_prefer() -> None:
    on = cluster(*ZONES, running={"n1": [pod("db", affinity={"podAffinity": near()})]})
    assert scores(InterPodAffinity(), web(), on) == [100, 100, 0]
    assert scores(InterPodAffinity(), web(), on, ignorePreferredTermsOfExistingPods=True) == [0, 0, 0]
    must = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ZONE, "labelSelector": WEB}]}
    on = cluster(*ZONES, running={"n3": [web("first", affinity={"podAffinity": must})]})
    assert scores(InterPodAffinity(), web(), on) == [0, 0, 100]
    assert scores(InterPodAffinity(), web(), on, hardPodAffinityWeight=0) == [0, 0, 0]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ({"namespaces": ["other"]}, "n3"),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, "n3"),
        ({"namespaceSelector": {}}, "n1"),  # all of them: the pod of its own namespace counts, too
        ({}, "n1"),
    ],
)
def test_company_in_other_namespaces(term: JSON, expected: str) -> None:
    there = msgspec.structs.replace(web(), metadata=msgspec.structs.replace(web().metadata, namespace="other"))
    on = cluster(ZONES[0], ZONES[2], running={"n3": [there], "n1": [web("here"), web("more")]})
    on.namespaces["other"] = {"team": "x"}
    wish = near(key=HOSTNAME, **term)
    given = scores(InterPodAffinity(), pod(affinity={"podAffinity": wish}), on)
    assert ["n1", "n3"][given.index(100)] == expected


def test_required_company_has_to_be_of_all_terms() -> None:
    """Pods that match every term count, in each term's domain (upstream), and the first of its kind goes anywhere."""
    both = [
        {"topologyKey": ZONE, "labelSelector": WEB},
        {"topologyKey": HOSTNAME, "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
    ]
    must = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": both}}
    on = cluster(*ZONES, running={"n1": [pod("db")], "n3": [web()]})
    assert place(web("new", affinity=must), on) == "n3"
    assert place(web("new", affinity=must), cluster(ZONES[0])) == "n1"
    stranger = pod("db", affinity=must)
    assert "1 node(s) didn't match pod affinity rules" in place(stranger, cluster(ZONES[0]))
    assert "1 node(s) didn't match pod affinity rules" in place(web("new", affinity=must), cluster(node("n1")))


# ---- spreading ---------------------------------------------------------------------------------------------------


def spread(key: str = ZONE, when: str = "DoNotSchedule", **more: Any) -> list[JSON]:
    return [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": WEB, **more}]


def spreading(*constraints: JSON, **more: Any) -> Pod:
    return web("new", topologySpreadConstraints=list(constraints), **more)


TAINT = {"key": "busy", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("constraints", "running", "expected"),
    [
        (spread(), {"n1": [web()]}, {"n3"}),
        (spread(maxSkew=2), {"n1": [web()]}, {"n1", "n2", "n3"}),
        (spread(HOSTNAME), {"n1": [web()], "n3": [web("b")]}, {"n2"}),
        # both have to hold
        ([*spread(), *spread(HOSTNAME)], {"n1": [web("a")], "n2": [web("b")]}, {"n3"}),
        # pods that are on their way out, or of another namespace's name, do not count
        (spread(), {"n1": [web("a", deleting=True)], "n3": [web("b")]}, {"n1", "n2"}),
        # fewer domains than asked for: the missing ones are empty
        (spread(minDomains=3), {"n1": [web("a")], "n3": [web("b")]}, set()),
        (spread(minDomains=2), {"n1": [web("a")], "n3": [web("b")]}, {"n1", "n2", "n3"}),
    ],
)
def test_where_spreading_lets_a_pod_go(
    constraints: list[JSON], running: dict[str, list[Pod]], expected: set[str]
) -> None:
    by = framework(cluster(*ZONES, running=running))
    allowed = {info.name for info in by.cluster.nodes}
    decision = by.decide(PodInfo(spreading(*constraints)))
    assert allowed - decision.diagnosis.refused.keys() == expected
    assert all("topology spread" in row.reasons[0] for row in decision.diagnosis.refused.values())


def test_labels_whose_values_make_pods_alike() -> None:
    """matchLabelKeys: the pods of another revision do not count."""

    def of(revision: str, **more: Any) -> Pod:
        return pod(f"web-{revision}", labels={"app": "web", "hash": revision}, **more)

    on = cluster(*ZONES, running={"n1": [of("old")]})
    keyed = spread(matchLabelKeys=["hash"])
    by = framework(on)
    assert not by.decide(PodInfo(of("new", topologySpreadConstraints=keyed))).diagnosis.refused
    assert by.decide(PodInfo(of("old", topologySpreadConstraints=keyed))).diagnosis.refused.keys() == {"n1", "n2"}


def test_nodes_that_count() -> None:
    """By default those that the pod's node affinity allows, tainted or not."""
    tainted = node("n3", "west", taints=[TAINT])
    on = cluster(ZONES[0], ZONES[1], tainted, running={"n1": [web()]})
    skewed = "didn't match pod topology spread constraints"
    assert skewed in place(spreading(*spread()), on), "n3 is empty, but will not do"
    assert place(spreading(*spread(nodeTaintsPolicy="Honor")), on) == "n2"
    narrow = {"nodeSelector": {ZONE: "east"}}
    assert place(spreading(*spread(), **narrow), cluster(*ZONES, running={"n1": [web()]})) == "n2"
    wide = spreading(*spread(nodeAffinityPolicy="Ignore"), **narrow)
    assert skewed in place(wide, cluster(*ZONES, running={"n1": [web()]}))


def test_spreading_that_only_prefers() -> None:
    on = cluster(*ZONES, node("n4"), running={"n1": [web("a"), web("b")], "n3": [web("c")]})
    anyway = spreading(*spread(when="ScheduleAnyway"))
    assert scores(PodTopologySpread(), anyway, on) == [33, 33, 100, 0], "n4 has no such label"
    assert scores(PodTopologySpread(), web("single"), on) == [0, 0, 0, 0], "neither owner nor Service"


def test_domains_follow_pods_and_labels() -> None:
    on = cluster(*ZONES, running={"n1": [web("a")]})
    anyway = spreading(*spread(when="ScheduleAnyway"))
    assert scores(PodTopologySpread(), anyway, on) == [0, 0, 100]
    on.assume(PodInfo(web("b")), "n3")
    on.assume(PodInfo(web("c")), "n3")
    assert scores(PodTopologySpread(), anyway, on) == [100, 100, 33]
    on.set_node(node("n1", "west"))
    assert scores(PodTopologySpread(), anyway, on) == [0, 100, 0]
    on.remove(PodInfo(web("b")).key)
    on.remove_node("n1")
    assert scores(PodTopologySpread(), anyway, on) == [100, 0], "what ran on a node that is gone counts no more"


def test_pods_of_a_service_are_spread_by_default() -> None:
    on = cluster(node("n1"), node("n2"), running={"n1": [web("a")]})
    body = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}
    service = msgspec.convert(body, Service)
    on.services[key_of(service)] = service
    first, second = scores(PodTopologySpread(), web("b"), on)
    assert (first < second, second) == (True, 100)
    assert scores(PodTopologySpread(), pod("other"), on) == [0, 0]


def test_default_constraints_of_ones_own() -> None:
    defaults = [{"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}]
    args: JSON = {"PodTopologySpread": {"defaultingType": "List", "defaultConstraints": defaults}}
    on = cluster(node("n1"), node("n2", cpu="1"), running={"n1": [pod("a", owner="web")]})
    big = pod("b", {"cpu": "2"}, owner="web")
    assert place(big, on) == "n1"
    assert "didn't match pod topology spread constraints" in decided(big, framework(on, args))
