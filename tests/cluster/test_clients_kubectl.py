"""kubectl, in every version found on this machine, cannot tell knet from Kubernetes: transcripts, one a theme.

Each is played in a namespace of its own, all of them side by side; those that touch what everybody shares say so.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import yaml

from knet import Cluster
from tests.cluster.transcript import Kubectl, kubectls, play

NAME = "kubectl"
SCRIPTS = sorted((Path(__file__).parent / "kubectl").glob("*.txt"))
KUBECTLS = kubectls()
#: what a transcript says that shows what the server does, and not what versions of kubectl make of it
ENDS = "# The oldest and the newest kubectl will do."
#: transcripts under way at once: kubectl mostly waits
PARALLEL = 4

pytestmark = pytest.mark.skipif(not KUBECTLS, reason="no kubectl on this machine")


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit") / "log"


@pytest.fixture(scope="module")
def cluster(audit_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, audit_log=str(audit_log)) as running:
            yield running


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[Path, Kubectl], "Future[None]"]]:
    """The transcripts that were selected, being played; one transcript's versions follow each other."""
    wanted: dict[Path, list[Kubectl]] = {}
    for item in request.session.items:
        if item.nodeid.startswith(request.node.nodeid) and hasattr(item, "callspec"):
            wanted.setdefault(item.callspec.params["script"], []).append(item.callspec.params["kubectl"])
    outcomes = {(script, kubectl): Future[None]() for script, rows in wanted.items() for kubectl in rows}

    def work(script: Path, rows: list[Kubectl]) -> None:
        for kubectl in rows:
            try:
                _play(cluster, script, kubectl, tmp_path_factory.mktemp(script.stem))
                outcomes[script, kubectl].set_result(None)
            except BaseException as error:  # noqa: BLE001 - raised where its test asks for it
                outcomes[script, kubectl].set_exception(error)

    with ThreadPoolExecutor(PARALLEL) as pool:
        for script, rows in wanted.items():
            pool.submit(work, script, rows)
        yield outcomes


def _play(cluster: Cluster, script: Path, kubectl: Kubectl, directory: Path) -> None:
    """In a new namespace, whose default service account is there, with a kubeconfig that names it."""
    namespace = f"{script.stem}-{kubectl}".replace(".", "-")
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["contexts"] = [row for row in config["contexts"] if row["name"] == config["current-context"]]
    config["contexts"][0]["context"]["namespace"] = namespace
    (directory / "kubeconfig").write_text(yaml.safe_dump(config))
    environment = {"KUBECONFIG": str(directory / "kubeconfig"), "NAMESPACE": namespace}
    everything = os.environ | environment
    subprocess.run([kubectl.path, "create", "namespace", namespace], env=everything, check=True, capture_output=True)
    watching = [kubectl.path, "get", "serviceaccounts", "--watch", "-o", "name"]
    with subprocess.Popen(watching, env=everything, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None and watch.stdout.readline() == "serviceaccount/default\n"
        watch.terminate()
    play(script, kubectl, directory, environment)
    subprocess.run(
        [kubectl.path, "delete", "namespace", namespace, "--wait=false"],
        env=everything, check=True, capture_output=True,
    )  # fmt: skip


def _played() -> list[tuple[Path, Kubectl]]:
    ends = KUBECTLS[:1] + KUBECTLS[1:][-1:]
    return [(script, kubectl) for script in SCRIPTS for kubectl in (ends if ENDS in script.read_text() else KUBECTLS)]


@pytest.mark.parametrize(("script", "kubectl"), _played(), ids=lambda value: getattr(value, "stem", None) or str(value))
def test_kubectl_prints_what_it_prints_upstream(
    script: Path, kubectl: Kubectl, played: dict[tuple[Path, Kubectl], "Future[None]"]
) -> None:
    played[script, kubectl].result()


#: who runs the cluster, by how their names begin
COMPONENTS = ("system:kube-", "system:node:", "system:serviceaccount:kube-")


def test_components_may_do_all_that_they_do(
    audit_log: Path, played: dict[tuple[Path, Kubectl], "Future[None]"]
) -> None:
    """While all transcripts were played, none was refused anything."""
    wait(played.values())
    refused = {
        f"{event['user']['username']} {event['verb']} {event['requestURI']}: {reason}"
        for event in map(json.loads, audit_log.read_text().splitlines())
        if event["user"].get("username", "").startswith(COMPONENTS) and event["responseStatus"]["code"] == 403
        for reason in [event["responseStatus"].get("message", "")]
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" or "NodeRestriction" in reason
    }
    assert not refused
