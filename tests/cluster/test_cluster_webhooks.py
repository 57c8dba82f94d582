"""An admission webhook as people run it: in a pod, behind a Service, for the namespaces that are labelled for it."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knet import Cluster
from knet.cluster.pki import Authority

NAME = "webhooks"
HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: guard}
spec:
  replicas: 2
  selector: {matchLabels: {app: guard}}
  template:
    metadata: {labels: {app: guard}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: guard
        image: python:3
        command: [python3, /program/guard.py]
        ports: [{containerPort: 8443}]
        readinessProbe: {tcpSocket: {port: 8443}}
        volumeMounts:
        - {name: program, mountPath: /program}
        - {name: tls, mountPath: /tls}
      volumes:
      - {name: program, configMap: {name: guard}}
      - {name: tls, secret: {secretName: guard}}
---
apiVersion: v1
kind: Service
metadata: {name: guard}
spec: {selector: {app: guard}, ports: [{port: 443, targetPort: 8443}]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("home") / "kubeconfig"))
        with Cluster(name=NAME) as running:
            yield running


def kubectl(*words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    argv = ["kubectl", "--context", NAME, *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=90, check=False, env=os.environ)


def done(*words: str, stdin: str = "") -> str:
    """The output of a command that has to succeed."""
    found = kubectl(*words, stdin=stdin)
    assert found.returncode == 0, f"kubectl {' '.join(words)}\n{found.stdout}{found.stderr}"
    return found.stdout


def refused(*words: str) -> str:
    """What a command that has to fail says."""
    found = kubectl(*words)
    assert found.returncode == 1, found.stdout
    return found.stderr


def configuration(phase: str, path: str, bundle: str) -> str:
    """A configuration for the ConfigMaps of namespaces labelled guarded=yes."""
    hook: dict[str, Any] = {
        "name": "guard.example.com",
        "clientConfig": {
            "service": {"namespace": "default", "name": "guard", "path": path},
            "caBundle": bundle,
        },
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]},
        ],
        "namespaceSelector": {"matchLabels": {"guarded": "yes"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    value = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{phase}WebhookConfiguration",
        "metadata": {"name": "guard"},
        "webhooks": [hook],
    }
    return json.dumps(value)


def test_a_webhook_in_a_pod_guards_the_labelled_namespaces(cluster: Cluster, tmp_path: Path) -> None:
    authority = Authority.create("an authority")
    authority.sign("guard", names=("guard.default.svc",), server=True).write(tmp_path, "tls")
    done("create", "secret", "tls", "guard", f"--cert={tmp_path}/tls.crt", f"--key={tmp_path}/tls.key")
    done("create", "configmap", "guard", f"--from-file={HERE}/guard.py")
    done("apply", "-f", "-", stdin=WORKLOAD)
    bundle = base64.b64encode(authority.pem).decode()
    done("create", "namespace", "open")
    done("create", "namespace", "guarded")
    done("label", "namespace", "guarded", "guarded=yes")
    done("rollout", "status", "deployment/guard")
    for phase, path in (("Mutating", "/mutate"), ("Validating", "/validate")):
        done("apply", "-f", "-", stdin=configuration(phase, path, bundle))

    made = kubectl("create", "configmap", "good", "--from-literal=a=b", "-n", "guarded")
    assert made.stdout == "configmap/good created\n", made.stderr
    assert made.stderr == "Warning: kubernetes-admin is being watched\n"
    assert done("get", "configmap", "good", "-n", "guarded", "-o", "jsonpath={.data.stamped}") == "by the guard"
    assert refused("create", "configmap", "bad-one", "--from-literal=a=b", "-n", "guarded") == (
        'error: failed to create configmap: admission webhook "guard.example.com" denied the request: bad names are'
        " not liked\n"
    )
    assert done("create", "configmap", "bad-one", "--from-literal=a=b", "-n", "open") == "configmap/bad-one created\n"
    assert done("get", "configmap", "bad-one", "-n", "open", "-o", "jsonpath={.data.stamped}") == ""

    done("scale", "deployment/guard", "--replicas=0")
    done("wait", "--for=delete", "pod", "-l", "app=guard", "--timeout=60s")
    assert refused("create", "configmap", "other", "--from-literal=a=b", "-n", "guarded") == (
        "error: failed to create configmap: Internal error occurred: failed calling webhook"
        ' "guard.example.com": failed to call webhook: Post "https://guard.default.svc:443/mutate?timeout=10s": no'
        ' endpoints available for service "guard"\n'
    )
