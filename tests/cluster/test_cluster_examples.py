"""The examples of Kubernetes' documentation for its workload kinds, each with what its page promises of it.

A manifest's remarks are a transcript that is played after `kubectl apply`, in a namespace of its own.
"""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from knet import Cluster
from tests.cluster.transcript import kubectls, play_steps, steps

NAME = "examples"
MANIFESTS = sorted((Path(__file__).parent / "manifests").glob("*.yaml"))
#: manifests under way at once: they mostly wait
PARALLEL = 6
#: where the nodes stand, for those that ask
ZONES = {"n1": "zone=east", "n2": "zone=east topology.kubernetes.io/zone=antarctica-east1", "n3": "zone=west"}

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, workers=3) as running:
            for node, labels in ZONES.items():
                subprocess.run(["kubectl", "label", "node", node, *labels.split()], check=True, capture_output=True)
            yield running


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[dict[Path, Future[None]]]":
    """Those that were selected, being applied and played."""
    wanted = {
        item.callspec.params["manifest"]
        for item in request.session.items
        if item.nodeid.startswith(request.node.nodeid) and hasattr(item, "callspec")
    }
    with ThreadPoolExecutor(PARALLEL) as pool:
        yield {
            manifest: pool.submit(_play, cluster, manifest, tmp_path_factory.mktemp(manifest.stem))
            for manifest in sorted(wanted)
        }


def _play(cluster: Cluster, manifest: Path, directory: Path) -> None:
    kubectl = kubectls()[-1]
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    next(row for row in config["contexts"] if row["name"] == config["current-context"])["context"]["namespace"] = (
        manifest.stem
    )
    (directory / "kubeconfig").write_text(yaml.safe_dump(config))
    environment = {"KUBECONFIG": str(directory / "kubeconfig"), "NAMESPACE": manifest.stem}
    remarks = [line[2:] for line in manifest.read_text().splitlines() if line.startswith("# ")]
    begin = [f"kubectl create namespace {manifest.stem}", "until kubectl get sa default; do :; done"]
    apply = " && ".join(["{ " + "; ".join(begin), f"kubectl apply -f {manifest}" + "; } >applied 2>&1 || cat applied"])
    played = steps("\n".join([f"$ {apply}", *remarks[1:]]), kubectl.version)
    play_steps(manifest.name, played, kubectl, directory, environment)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_an_example_reaches_the_state_that_its_page_promises(
    manifest: Path, played: "dict[Path, Future[None]]"
) -> None:
    played[manifest].result()
