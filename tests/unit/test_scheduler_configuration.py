"""Profiles from a KubeSchedulerConfiguration, and plugins from a user's file."""

from pathlib import Path

import pytest
import yaml
from scheduler_harness import cluster, decided, node, pod

from knet.api.objects import JSON
from knet.scheduler.cluster import Cluster
from knet.scheduler.configuration import Setup, setup
from knet.scheduler.framework import Framework
from knet.scheduler.loading import LoadError, load
from knet.scheduler.plugin import Handle
from knet.scheduler.plugins import DEFAULT_PLUGINS

EXAMPLE = Path(__file__).parents[2] / "scripts" / "uplink_plugin.py"
HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
ALL = [cls.name for cls in DEFAULT_PLUGINS]


def written(directory: Path, body: object) -> str:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(body))
    return str(path)


def configured(directory: Path, **fields: object) -> Setup:
    return setup(config_file=written(directory, HEAD | fields))


def framework(found: Setup, on: Cluster, name: str = "default-scheduler") -> Framework:
    return found.frameworks(Handle(on))[name]


def having(by: Framework, point: str) -> list[str]:
    return [plugin.name for plugin, _ in by.having(point)]


def test_without_files_there_is_one_profile_with_kubernetes_own_plugins() -> None:
    by = framework(setup(), Cluster())
    assert [plugin.name for plugin in by.plugins] == ALL
    weights = {plugin.name: plugin.weight for plugin, _ in by.having("score")}
    assert weights == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }


def test_profiles_differ_in_plugins_weights_and_arguments(tmp_path: Path) -> None:
    packing = {
        "schedulerName": "packer",
        "plugins": {
            "multiPoint": {"disabled": [{"name": "PodTopologySpread"}]},
            "score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 7}]},
        },
        "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}],
    }
    found = configured(tmp_path, profiles=[{"schedulerName": "default-scheduler"}, packing], podMaxBackoffSeconds=3)
    assert (found.initial_backoff, found.max_backoff) == (None, 3)
    on = cluster(node("n1"), node("n2"), running={"n2": [pod("a", {"cpu": "2", "memory": "4Gi"})]})
    asking = pod("b", {"cpu": "1", "memory": "1Gi"})
    assert decided(asking, framework(found, on)) == "n1"
    packer = framework(found, on, "packer")
    assert decided(asking, packer) == "n2"
    assert [(plugin.name, plugin.weight) for plugin, _ in packer.having("score")] == [("NodeResourcesFit", 7)]
    assert "PodTopologySpread" not in having(packer, "filter")


def test_order_at_one_point(tmp_path: Path) -> None:
    enabled = [{"name": "ImageLocality"}, {"name": "NodeAffinity"}]
    by = framework(configured(tmp_path, profiles=[{"plugins": {"score": {"enabled": enabled}}}]), Cluster())
    assert having(by, "score")[:3] == ["ImageLocality", "NodeAffinity", "TaintToleration"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "Pod"}, "it should be of apiVersion kubescheduler.config.k8s.io/v1 and kind KubeScheduler"),
        ({"profile": []}, "Object contains unknown field `profile`"),
        ({"profiles": [{"plugins": {"score": {"enabled": [{"name": "Nope"}]}}}]}, ".score: there is no plugin 'Nope'"),
        ({"profiles": [{"plugins": {"filters": {}}}]}, "unknown field `filters` - at `$.profiles[0].plugins`"),
        ({"profiles": [{}, {}]}, "profiles: two have the same schedulerName"),
        (
            {"profiles": [{}, {"schedulerName": "b", "plugins": {"queueSort": {"disabled": [{"name": "*"}]}}}]},
            "profiles: queueSort has to be the same in all",
        ),
        ({"percentageOfNodesToScore": 101}, "percentageOfNodesToScore: 101 is not in the range 0-100"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_refused_in_one_line(tmp_path: Path, fields: JSON, complaint: str) -> None:
    path = written(tmp_path, HEAD | fields)
    with pytest.raises(ValueError) as caught:
        setup(config_file=path)
    assert str(caught.value).startswith(f"{path}: ") and complaint in str(caught.value)
    assert "\n" not in str(caught.value)


HEAVY = {"scoringStrategy": {"resources": [{"name": "cpu", "weight": 101}]}}


@pytest.mark.parametrize(
    ("plugin", "args", "complaint"),
    [
        ("NodeResourcesFit", {"scoringStrategy": {"type": "Best"}}, ".type: 'Best' is none of LeastAllocated"),
        ("NodeResourcesFit", HEAVY, "101 is not between"),
        ("NodeResourcesFit", {"scoringStrategy": {"type": "RequestedToCapacityRatio"}}, "at least one point"),
        ("NodeResourcesFit", {"strategy": 1}, "unknown field `strategy`"),
        ("InterPodAffinity", {"hardPodAffinityWeight": 101}, "hardPodAffinityWeight: 101 is not in the range 0-100"),
        ("PodTopologySpread", {"defaultConstraints": [{}]}, "when .defaultingType is System, must be empty"),
        ("VolumeBinding", {"bindTimeoutSeconds": -1}, "bindTimeoutSeconds: -1 must be greater than or equal to 0"),
        ("DefaultPreemption", {"minCandidateNodesPercentage": 101}, "is not in the range [0, 100]"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(tmp_path: Path, plugin: str, args: JSON, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        configured(tmp_path, profiles=[{"pluginConfig": [{"name": plugin, "args": args}]}])
    assert f"arguments of {plugin}: " in str(caught.value) and complaint in str(caught.value)


IMPORT = "from knet.scheduler.plugin import Plugin\n"
X = IMPORT + "class X(Plugin):\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class X:\n  pass\n", "no class in it is a knet.scheduler.plugin.Plugin"),
        ("def f(:\n", "line 1: "),
        ("import nowhere_to_be_found\n", "line 1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1\nraise SystemExit(3)\n", "line 2: SystemExit: 3"),
        (X + "  def fliter(self, state, pod, node): ...\n", "X has none of the methods of a plugin"),
        (X + "  def filter(self, pod, node): ...\n", "X.filter should take (self, state, pod, node)"),
        (X + "  async def filter(self, state, pod, node): ...\n", "X.filter should not be async"),
        (X + "  def permit(self, state, pod, node): ...\n", "X.permit should be async"),
        (X + "  def __init__(self): 1/0\n", "X() fails: ZeroDivisionError"),
        (X + "  def setup(self, handle, args): 1/0\n  def pre_enqueue(self, pod): ...\n", "X.setup fails: Zero"),
    ],
)  # fmt: skip
def test_a_plugin_file_that_will_not_do_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(LoadError) as caught:
        setup(str(path))
    assert str(caught.value).startswith(f"{path}: ") and complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(LoadError, match=r"absent.py: no such file"):
        setup(str(tmp_path / "absent.py"))


def test_a_users_plugin_joins_the_others_and_one_of_the_same_name_replaces_ours(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        IMPORT
        + "class Mine(Plugin):\n  async def bind(self, pod, node): ...\n"
        + "class NodeName(Plugin):\n  def filter(self, state, pod, node): return 'no'\n"
    )
    by = framework(setup(str(path)), cluster(node("n1")))
    assert having(by, "bind") == ["Mine", "DefaultBinder"], "before the one that binds all the rest"
    assert len(by.plugins) == len(ALL) + 1
    assert decided(pod(), by).startswith("0/1 nodes are available: 1 no. preemption: 0/1 nodes are available: 1 No pre")


def test_the_example_in_scripts_does_what_it_says() -> None:
    assert [cls.name for cls in load(str(EXAMPLE))] == ["UplinkBandwidth"]

    slow, fast = ({"example.com/uplink-mbit": str(mbit)} for mbit in (100, 1000))
    on = cluster(node("n1", labels=slow), node("n2", labels=fast))
    by = framework(setup(str(EXAMPLE)), on)
    assert decided(pod("first", annotations={"example.com/needs-mbit": "400"}), by) == "n2"
    running = {"n2": [pod("first", annotations={"example.com/needs-mbit": "400"})]}
    busy = framework(setup(str(EXAMPLE)), cluster(*(info.node for info in on.nodes), running=running))
    assert decided(pod("second", annotations={"example.com/needs-mbit": "700"}), busy).startswith(
        "0/2 nodes are available: 2 node(s) had too little uplink bandwidth."
    )
    assert {decided(pod("any"), busy) for _ in range(4)} <= {"n1", "n2"}
