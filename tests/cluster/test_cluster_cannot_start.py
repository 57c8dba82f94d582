"""What cannot start says why, in upstream's words, and starts by itself once nothing stands in its way."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from knet import Cluster
from tests.cluster.test_cluster_faults import eventually
from tests.conftest import KNET

NAME = "cannot-start"
JSON = dict[str, Any]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A row of cannot_start.yaml; ``before`` is a command to be run before ``objects`` and the workload are made."""

    name: str
    waits: str
    cure: str
    event: str = ""
    kind: str = "Pod"
    container: JSON = {}
    spec: JSON = {}
    objects: list[JSON] = []
    before: str = ""

    def workload(self) -> JSON:
        container = {"name": "c", "image": "busybox", "command": ["sleep", "infinity"], **self.container}
        directory = {"name": "v", "hostPath": {"path": f"/run/v/{self.name}", "type": "DirectoryOrCreate"}}
        volumes = [*self.spec.get("volumes", ()), directory]
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **self.spec, "volumes": volumes}
        labels = {"case": self.name}
        if self.kind == "Pod":
            return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name, "labels": labels}, "spec": spec}
        template = {"metadata": {"labels": labels}, "spec": spec}
        rollout = {"selector": {"matchLabels": labels}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name}, "spec": rollout}


CASES = msgspec.convert(yaml.safe_load(Path(__file__).with_name("cannot_start.yaml").read_text()), list[Case])
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With all the workloads of the table in it."""
    directory = tmp_path_factory.mktemp("cannot_start")
    images = directory / "images.yaml"
    images.write_text("- {names: [shop/empty], base: busybox}\n")
    settings = {"KUBECONFIG": str(directory / "kubeconfig"), "IMAGES": str(images), "KNET_NAME": NAME}
    path = f"{Path(KNET).parent}:{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**settings, "PATH": path}.items():
            patch.setenv(name, value)
        with Cluster(name=NAME, workers=1, images=str(images)) as running:
            places = " ".join(f"/run/v/{case.name}" for case in CASES)
            running.machine("n1").run(f"mkdir -p {places}")
            shell("\n".join(case.before for case in CASES))
            made = [row for case in CASES for row in (*case.objects, case.workload())]
            shell("kubectl create -f -", json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
            yield running


@pytest.fixture(scope="module")
def cured(cluster: Cluster) -> Cluster:
    """After all of the cures; the tests above this fixture's users have seen what there was to cure."""
    with ThreadPoolExecutor(4) as people:
        list(people.map(shell, [case.cure for case in CASES]))
    return cluster


def shell(command: str, given: str = "") -> None:
    done = subprocess.run(
        ["bash", "-ec", command], input=given, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def obstacles(cluster: Cluster, case: Case) -> set[str]:
    """Waiting reasons and conditions that are not true, of the workload and its pods."""
    rows = cluster.objects("pods", selector=f"case={case.name}")
    if case.kind != "Pod":
        rows.append(cluster.get(f"{case.kind}/{case.name}"))
    found = set()
    for status in (row["status"] for row in rows):
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            found.add(container["state"].get("waiting", {}).get("reason", ""))
        for condition in status.get("conditions", ()):
            if condition["status"] == ("True" if condition["type"] == "ReplicaFailure" else "False"):
                found.add(f"{condition['type']}={condition.get('reason')}")
    return found


def events(cluster: Cluster, case: Case) -> list[str]:
    return [
        f"{row['reason']} {row['message']}"
        for row in cluster.objects("events")
        if row["involvedObject"]["name"].startswith(case.name)
    ]


@each
def test_what_stands_in_the_way_is_told(case: Case, cluster: Cluster) -> None:
    seen: set[str] = set()
    told: list[str] = []

    def shown() -> bool:
        seen.update(obstacles(cluster, case))
        told[:] = events(cluster, case)
        return case.waits in seen and (not case.event or any(row.startswith(case.event) for row in told))

    try:
        eventually(shown, "")
    except AssertionError:
        raise AssertionError(f"{case.waits}; {case.event}\nnot among\n{seen}\n" + "\n".join(told)) from None


@each
def test_it_starts_by_itself_once_the_cause_is_gone(case: Case, cured: Cluster) -> None:
    if case.kind == "Deployment":
        cured.rollout(f"deployment/{case.name}")
    else:
        cured.wait(f"pod/{case.name}", "Ready")
