"""JSONPath as columns and selectable fields use it."""

from typing import Any

import pytest

from knet.api.jsonpath import compile_path

DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x", "b c": "y"}},
    "spec": {"replicas": 0, "ports": [{"port": 80, "name": "http"}, {"port": 443}], "none": None},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Busy", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["a"]),
        ("$.metadata.name", ["a"]),
        (".spec.replicas", [0]),
        (".spec.none", [None]),
        (".spec.missing.deep", []),
        (".metadata.name.deep", []),
        (r".metadata.labels.app\.kubernetes\.io/name", ["x"]),
        (".metadata.labels['app.kubernetes.io/name']", ["x"]),
        ('.metadata.labels["b c"]', ["y"]),
        (".spec.ports[0].port", [80]),
        (".spec.ports[-1].port", [443]),
        (".spec.ports[5].port", []),
        (".spec.ports[*].port", [80, 443]),
        (".spec.ports[0:1].port", [80]),
        (".spec.ports[0,1].port", [80, 443]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Nobody')].status", []),
        (".spec.ports[?(@.port>100)].port", [443]),
        (".spec.ports[?(@.name)].port", [80]),
        ("..port", [80, 443]),
        (".", [DOCUMENT]),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert compile_path(path)(DOCUMENT) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(]", ".a[x]", ".a[0:1:0]", ".a[1:2:3:4]", ".a b", "]"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError):
        compile_path(path)
