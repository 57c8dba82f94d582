"""`knet trace` through IPVS, in a whole cluster: who translates is no rule, but what was translated is seen.

It takes a minute, so it is run by its name only: ``sudo scripts/test tests/stock/trace_of_ipvs.py``.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from knet import Cluster
from knet.cluster.config import PROXY_MODES
from knet.cluster.preflight import FEATURES
from knet.inspect.trace.hops import BACK, THERE
from knet.kernel import features

PODS = {"client": "n1", "web": "n2"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    features.require(*FEATURES, *PROXY_MODES["ipvs"])
    home: Path = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(home / "kubeconfig"))
        # the lab's own intervals are for machines that are ten times as fast
        with Cluster(name="ipvs", workers=2, proxy="ipvs", timing="upstream") as running:
            for name, machine in PODS.items():
                container = {"name": "c", "image": "traefik/whoami", "ports": [{"containerPort": 80}]}
                spec = {"nodeName": machine, "terminationGracePeriodSeconds": 0, "containers": [container]}
                metadata = {"name": name, "labels": {"app": name}}
                running.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
            running.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
            for name in PODS:
                running.wait(f"pod/{name}", "Ready", timeout=120)
            yield running


@pytest.mark.parametrize(
    ("source", "translations"),
    [
        ("pod/client", [("n1", "input", "DNAT"), ("n1", "postrouting", "undo DNAT")]),
        (
            "n1",
            [
                ("n1", "output", "DNAT"),
                ("n1", "postrouting", "SNAT"),
                ("n1", "prerouting", "undo SNAT"),
                ("n1", "input", "undo DNAT"),
            ],
        ),
        (
            "pod/web",
            [
                ("n2", "input", "DNAT"),
                ("n2", "postrouting", "SNAT"),
                ("n2", "prerouting", "undo SNAT"),
                ("n2", "postrouting", "undo DNAT"),
            ],
        ),
    ],
)
def test_a_virtual_server_is_seen_to_translate(
    cluster: Cluster, source: str, translations: list[tuple[str, str, str]]
) -> None:
    address = cluster.get("service/web")["spec"]["clusterIP"]
    while not (found := cluster.trace(source, "svc/web")).delivered:  # the proxy of a machine may come late
        pass
    assert found.findings == ()
    seen = [(hop.site, hop.interface, hop.translation.kind) for hop in found.hops if hop.translation]
    assert seen == translations
    assert found.way(THERE)[-1].site == "pod/default/web"
    assert (found.hops[-1].kind, found.hops[-1].way, found.hops[-1].packet.source) == ("deliver", BACK, address)
