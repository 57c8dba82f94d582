"""An Ingress on the way from a client outside the cluster: by its load balancer, TLS, and while everything changes."""

import base64
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from knet import Cluster
from knet.ingress import fake
from tests.cluster.test_cluster_faults import eventually

NAME = "ingress"
JSON = dict[str, object]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME, ingress="nginx") as running:
            running.rollout("deployment/ingress-nginx-controller", namespace="ingress-nginx")
            running.apply(_deployment("web"))
            running.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": _SERVICE})
            running.rollout("deployment/web")
            yield running


_SERVICE = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}


def _deployment(name: str) -> JSON:
    container = {
        "name": "c",
        "image": "registry.k8s.io/e2e-test-images/agnhost:2.53",
        "args": ["netexec"],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        # nginx learns of an end when everybody does; until then it sends requests
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def _ingress(name: str, host: str, **spec: object) -> JSON:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"ingressClassName": "nginx", "rules": [rule], **spec},
    }


def _address(cluster: Cluster, name: str) -> str:
    def found() -> list[dict[str, str]]:
        return list(cluster.get(f"ingress/{name}")["status"]["loadBalancer"].get("ingress") or ())

    eventually(lambda: bool(found()), "the Ingress has no address")
    return found()[0]["ip"]


def _ask(cluster: Cluster, address: str, host: str, path: str, *options: str) -> str:
    argv = [
        "curl",
        "-s",
        "-m",
        "2",
        *options,
        "--resolve",
        f"{host}:80:{address}",
        "--resolve",
        f"{host}:443:{address}",
    ]
    scheme = "https" if "--cacert" in options else "http"
    return cluster.machine("client").run([*argv, f"{scheme}://{host}{path}"], check=False)


def test_the_clients_address_arrives_in_a_header_and_the_pod_sees_nginx(cluster: Cluster) -> None:
    cluster.apply(_ingress("plain", "plain.example.org"))
    address = _address(cluster, "plain")
    service = cluster.get("service/ingress-nginx-controller", namespace="ingress-nginx")
    assert address == service["status"]["loadBalancer"]["ingress"][0]["ip"]
    eventually(lambda: "404" not in _ask(cluster, address, "plain.example.org", "/hostname"), "no answer")
    own = cluster.machine("client").run("hostname -I").split()[0]
    assert _ask(cluster, address, "plain.example.org", "/header?key=X-Forwarded-For") == own
    [controller] = cluster.pods("app.kubernetes.io/name=ingress-nginx", namespace="ingress-nginx")
    assert _ask(cluster, address, "plain.example.org", "/clientip").rpartition(":")[0] == controller.ip
    assert _ask(cluster, address, "other.example.org", "/") == "default backend - 404"


def test_tls_ends_at_nginx_with_the_secrets_certificate(cluster: Cluster, tmp_path: Path) -> None:
    fake.write(tmp_path / "own.pem")
    chain, _, key = (tmp_path / "own.pem").read_text().partition("-----BEGIN PRIVATE")
    data = {"tls.crt": chain, "tls.key": "-----BEGIN PRIVATE" + key}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "own"}}
    host = "ingress.local"  # as the certificate says
    cluster.apply(_ingress("secure", host, tls=[{"hosts": [host], "secretName": "own"}]))
    cluster.apply({**secret, "data": encoded})
    address = _address(cluster, "secure")
    shown = cluster.machine("client")
    trusted = shown.run("mktemp").strip()
    shown.run(["sh", "-c", f"cat > {trusted} <<'END'\n{chain}END\n"])
    eventually(lambda: "web-" in _ask(cluster, address, host, "/hostname", "--cacert", trusted), "no TLS of that name")
    found = _ask(cluster, address, host, "/x", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}")
    assert found == f"308 https://{host}/x"
    shown.run(["rm", trusted])


#: asks again and again on new connections and kept ones, until its standard input ends; prints what went wrong
LOAD = """
    import http.client, select, sys
    address, asked, failed = sys.argv[1], 0, []
    kept = http.client.HTTPConnection(address, timeout=5)
    while not select.select([sys.stdin], [], [], 0)[0]:
        fresh = http.client.HTTPConnection(address, timeout=5)
        for connection in (fresh, kept):
            answer = None
            try:
                connection.request("GET", "/hostname", headers={"Host": "load.example.org"})
                answer = connection.getresponse()
                answer.read()
                asked += 1
                if answer.status != 200:
                    failed.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                if connection is kept and answer is None and isinstance(error, (ConnectionResetError, BrokenPipeError)):
                    kept.close()  # a server may close what is idle, just as it is asked; a client asks again, as all do
                else:
                    failed.append(repr(error))
        fresh.close()
    print(asked, failed)
"""


def test_nobody_is_turned_away_while_pods_and_rules_change(cluster: Cluster) -> None:
    cluster.apply(_ingress("load", "load.example.org"))
    address = _address(cluster, "load")
    eventually(lambda: "web-" in _ask(cluster, address, "load.example.org", "/hostname"), "no answer")
    load = cluster.machine("client").popen(
        [sys.executable, "-c", textwrap.dedent(LOAD), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    cluster.call(
        cluster.api.raw(
            "PATCH",
            "/apis/apps/v1/namespaces/default/deployments/web",
            {"spec": {"template": {"metadata": {"annotations": {"again": "yes"}}}}},
            content_type="application/merge-patch+json",
        )
    )
    for number in range(5):
        cluster.apply(_ingress(f"more-{number}", f"more-{number}.example.org"))
    cluster.rollout("deployment/web")
    for number in range(5):
        cluster.delete(f"ingress/more-{number}")
    eventually(lambda: "404" in _ask(cluster, address, "more-4.example.org", "/"), "a rule outlived its Ingress")
    eventually(lambda: len(cluster.pods("app=web")) == 3, "old pods do not end")
    printed, _ = load.communicate("\n")
    asked, _, failed = printed.strip().partition(" ")
    assert int(asked) > 50 and failed == "[]"
