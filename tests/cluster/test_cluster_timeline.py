"""The timeline of a live cluster: every step of a deployment in causal order, its end, and what nobody can tell."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from knet import Cluster
from knet.inspect.timeline.event import Event
from knet.inspect.timeline.timeline import Timeline
from tests.conftest import knet

NAME = "timeline"
LABELS = {"app": "web"}
#: its sleep is process 1 and does not hear SIGTERM; the hook takes no time
CONTAINERS = [
    {
        "name": "main",
        "image": "busybox",
        "command": ["sleep", "infinity"],
        "readinessProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    }
]
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {"containers": CONTAINERS, "terminationGracePeriodSeconds": 1},
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "closed"},
    "spec": {"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Ingress"]},
}
KINDS = {"write", "decision", "binding", "sandbox", "container", "probe", "rules"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(name=NAME) as running:
        yield running


@pytest.fixture(scope="module")
def birth(cluster: Cluster) -> Timeline:
    """Of a Deployment, from before it was applied until everything is quiet."""
    cluster.apply(SERVICE)
    cluster.apply(POLICY)
    with cluster.recording("svc/web") as service:  # which is there already, unlike the Deployment
        cluster.apply(WEB)
        cluster.rollout("deployment/web")
        service.quiet()
    # afterwards the same can be asked for by the Deployment's name
    found = cluster.timeline("deployment/web", since=600)
    assert set(service.timeline.events) <= set(found.events)
    return found


def first(events: tuple[Event, ...], kind: str, actor: str, about: str, *words: str) -> Event:
    """The first of a kind, by somebody (``kubelet@``: of whichever machine), about an object, that says this.

    One word is a part of its text; of several one is a whole phrase.
    """
    for row in events:
        said = words[0] in row.text if len(words) == 1 else not set(words).isdisjoint(row.args)
        if row.kind == kind and row.actor.startswith(actor) and about in row.objects and said:
            return row
    raise AssertionError(f"no {kind} of {about} by {actor} with {words} among\n" + Timeline(events).text(every=True))


def test_every_step_of_every_pod_comes_after_its_cause(cluster: Cluster, birth: Timeline) -> None:
    for pod in cluster.pods("app=web"):
        name, node = f"pod/default/{pod.name}", pod.node
        replicas = pod.object["metadata"]["ownerReferences"][0]["name"]
        way = [
            first(birth.events, "write", "knet-python", "deployment/default/web", "created, replicas 2"),
            first(birth.events, "write", "kube-controller-manager", f"replicaset/default/{replicas}", "created"),
            first(birth.events, "write", "kube-controller-manager", name, "created"),
            first(birth.events, "binding", "kube-scheduler", name, f"→ {node}"),
            first(birth.events, "write", "kube-scheduler", name, f"bound to {node}"),
            first(birth.events, "sandbox", f"kubelet@{node}", name, f"eth0 has {pod.ip}"),
            first(birth.events, "sandbox", f"kubelet@{node}", name, f"network of its own, {pod.ip}"),
            first(birth.events, "sandbox", f"kubelet@{node}", name, "network policies in force"),
            first(birth.events, "container", f"kubelet@{node}", name, "main runs"),
            first(birth.events, "probe", f"kubelet@{node}", name, "readiness exec true succeeded → ready"),
            first(birth.events, "write", f"kubelet@{node}", name, "Ready", "Ready"),
            first(birth.events, "write", "kube-controller-manager", name, f"+{pod.ip}", f"{pod.ip} ready"),
        ]
        assert all(a.at <= b.at for a, b in pairwise(way)), Timeline(tuple(way)).text(every=True)
        assert way[-1].objects[0].startswith("endpointslice/default/web-")
        assert way[-1].objects[1] == "service/default/web"
        revisions = [row.revision for row in way if row.revision]
        assert revisions == sorted(revisions)
        for machine in ("n1", "n2"):
            rules = first(birth.events, "rules", f"kube-proxy@{machine}", "service/default/web", pod.ip)
            assert rules.at > way[-1].at


def test_stamps_never_go_back_and_every_kind_of_event_is_there(birth: Timeline) -> None:
    assert all(a.at <= b.at for a, b in pairwise(birth.events))
    assert {row.kind for row in birth.events} >= KINDS
    assert not [row for row in birth.events if "/kube-system/" in "".join(row.objects)]
    first(birth.events, "decision", "deployment-controller", "deployment/default/web", "ScalingReplicaSet")


def test_a_nodes_timeline_has_its_routes_and_who_else_leads_there(cluster: Cluster) -> None:
    events = cluster.timeline("node/n1", since=600).events
    first(events, "routes", "flanneld@n2", "node/n1", "add route")
    first(events, "routes", "flanneld@n1", "node/n2", "add route")
    first(events, "component", "kubelet@n1", "node/n1", "began")


def test_how_a_pod_ends_hook_signals_and_all(cluster: Cluster, birth: Timeline) -> None:
    pod = cluster.pods("app=web")[0]
    name, address = f"pod/default/{pod.name}", pod.ip
    with cluster.recording(f"pod/{pod.name}") as recording:
        cluster.delete(f"pod/{pod.name}")
        recording.quiet()
    events = recording.timeline.events
    signals = [row for row in events if row.kind == "signal"]
    assert [row.args[0] for row in signals] == ["preStop hook", "SIGTERM", "SIGKILL"]
    asked, gone = first(events, "write", "", name, "is to end"), first(events, "write", "", name, "gone")
    ended = first(events, "container", "kubelet@", name, "main ended")
    free = first(events, "sandbox", "kubelet@", name, f"{address} free again")
    assert [row.at for row in (asked, *signals, ended, free, gone)] == sorted(
        row.at for row in (asked, *signals, ended, free, gone)
    )
    first(events, "write", "kube-controller-manager", name, f"{address} terminating")


def test_a_component_that_is_started_anew_says_what_nobody_can_tell_any_more(cluster: Cluster) -> None:
    with cluster.recording() as recording:
        knet("restart", "kube-proxy@n2", "--name", NAME)
        recording.quiet()
    lives = [row.text.split()[0] for row in recording.timeline.events if row.kind == "component"]
    assert lives == ["ended", "began"]
    assert any(sentence.startswith("kube-proxy@n2 ended meanwhile") for sentence in recording.timeline.gaps)
    gaps = cluster.timeline(since=5).gaps
    assert any("kube-proxy@n2" in sentence and "earlier is not known" in sentence for sentence in gaps)


# ---- as a user -------------------------------------------------------------------------------------------------------


def test_the_command_tells_draws_and_runs_another(cluster: Cluster, birth: Timeline, tmp_path: Path) -> None:
    text = knet("timeline", "deployment/web", "--since", "10m", "--name", NAME).stdout
    assert "deployment/web" in text and "kube-proxy@n" in text
    rows = _json(knet("timeline", "svc/web", "--since", "10m", "--json", "--name", NAME).stdout)
    assert {row["kind"] for row in rows if "kind" in row} >= {"write", "rules"}
    assert all(row["time"].endswith("Z") for row in rows if "time" in row)
    page = tmp_path / "web.html"
    knet("timeline", "pod/" + cluster.pods("app=web")[0].name, "--since", "10m", "--html", str(page), "--name", NAME)
    assert ElementTree.parse(page).getroot().tag.endswith("html")
    argv = ("timeline", "--name", NAME, "--json", "--for", "1s", "--")
    kubectl = ("kubectl", "--kubeconfig", str(cluster.kubeconfig))
    scaled = knet(*argv, *kubectl, "scale", "deployment/web", "--replicas", "1")
    assert "replicas 2 → 1" in scaled.stdout and '"kubectl"' in scaled.stdout
    said = knet("timeline", "svc/web", "--since", "10m", "--name", NAME).stdout
    assert "after SIGTERM" in said and "No packets were recorded" in said
    assert knet(*argv, "false", check=False).returncode == 1


REFUSED = {
    ("deployment/wbe",): "there is no deployment/wbe, nor was there one of late; did you mean deployment/web?",
    ("web",): "'web': say KIND/NAME, such as deployment/web, or NAMESPACE/KIND/NAME",
    ("--", "no-such-program"): "no-such-program: No such file or directory",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(cluster: Cluster, words: tuple[str, ...]) -> None:
    done = knet("timeline", "--name", NAME, *words, check=False)
    assert (done.returncode, done.stderr) == (2, f"knet: {REFUSED[words]}\n")


def _json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
