import base64
from typing import Any

import msgspec
import pytest

from knet.api.objects import ConfigMap, Pod, Secret, Service
from knet.kubelet.environment import ConfigError, Facts, Sources, environment, services_environment
from knet.kubelet.expansion import expand, missing

FACTS = Facts(("172.18.0.3", "fd00:172:18::3"), ("10.244.1.7", "fd00:10:244:1::7"), {"cpu": "2", "memory": "4194304Ki"})
SOURCES = Sources(
    {"settings": msgspec.convert({"data": {"colour": "blue", "size": "2"}}, ConfigMap)},
    {"keys": msgspec.convert({"data": {"pin": base64.b64encode(b"1234").decode()}}, Secret)},
)


def pod(**container: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web", "tier": "x"}},
            "spec": {
                "nodeName": "n1",
                "serviceAccountName": "default",
                "containers": [{"name": "c", **container}],
            },
        },
        Pod,
    )


def env(services: tuple[Service, ...] = (), **container: Any) -> dict[str, str]:
    of = pod(**container)
    return environment(of, of.spec.containers[0], FACTS, SOURCES, services)


def service(namespace: str, name: str, address: str, *ports: dict[str, Any]) -> Service:
    return msgspec.convert(
        {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": address, "ports": list(ports)}},
        Service,
    )


KUBERNETES = service("default", "kubernetes", "10.96.0.1", {"name": "https", "port": 443})


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$(A)", "one"),
        ("x$(A)y$(B)", "xoney"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_are_replaced_and_unknown_ones_stay(text: str, result: str) -> None:
    assert expand(text, {"A": "one", "B": ""}) == result


def test_references_without_a_value_are_named() -> None:
    assert missing("$(Z)/$(A)/$$(C)/$(B)", {"A": "one", "B": ""}) == ["B", "Z"]


def test_a_value_may_refer_to_variables_before_it_and_to_services() -> None:
    found = env(
        (KUBERNETES,),
        env=[{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$(KUBERNETES_SERVICE_HOST)"}],
    )
    assert found["B"] == "1-$(C)-10.96.0.1"


def test_env_overrides_env_from_and_both_override_services() -> None:
    found = env(
        (KUBERNETES,),
        envFrom=[{"configMapRef": {"name": "settings"}}, {"prefix": "K_", "secretRef": {"name": "keys"}}],
        env=[{"name": "size", "value": "9"}, {"name": "KUBERNETES_PORT", "value": "mine"}],
    )
    assert (found["colour"], found["size"], found["K_pin"], found["KUBERNETES_PORT"]) == ("blue", "9", "1234", "mine")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="web"\ntier="x"'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "172.18.0.3"),
        ("status.podIP", "10.244.1.7"),
        ("status.podIPs", "10.244.1.7,fd00:10:244:1::7"),
        ("status.hostIP", "172.18.0.3"),
        ("status.hostIPs", "172.18.0.3,fd00:172:18::3"),
    ],
)
def test_fields_of_the_downward_api(path: str, value: str) -> None:
    assert env(env=[{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}])["X"] == value


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", "0", "2"),  # 1500m, rounded up
        ("limits.cpu", "1m", "1500"),
        ("limits.memory", "1Mi", "128"),
        ("requests.memory", "0", "134217728"),  # a limit is a request too
        ("requests.cpu", "1m", "250"),
        ("limits.ephemeral-storage", "1", "0"),
    ],
)
def test_resources_of_the_downward_api(resource: str, divisor: str, value: str) -> None:
    found = env(
        resources={"limits": {"cpu": "1500m", "memory": "128Mi"}, "requests": {"cpu": "250m"}},
        env=[{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}],
    )
    assert found["X"] == value


def test_without_a_limit_the_node_is_the_limit() -> None:
    wanted = {"resourceFieldRef": {"resource": "limits.cpu"}}
    assert env(env=[{"name": "X", "valueFrom": wanted}])["X"] == "2"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        (
            {"configMapKeyRef": {"name": "settings", "key": "k"}},
            "couldn't find key k in ConfigMap shop/settings",
        ),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "k"}}, "couldn't find key k in Secret shop/keys"),
        ({"fieldRef": {"fieldPath": "spec.x"}}, "unsupported fieldPath: spec.x"),
    ],
)
def test_what_is_missing_is_an_error_in_upstreams_words(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        env(env=[{"name": "X", "valueFrom": source}])


def test_what_is_optional_may_be_missing() -> None:
    found = env(
        env=[
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
            {"name": "Y", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k", "optional": True}}},
        ],
        envFrom=[{"configMapRef": {"name": "none", "optional": True}}],
    )
    assert found == {}


def test_services_of_the_own_namespace_and_the_master_become_variables() -> None:
    rows = (
        KUBERNETES,
        service("shop", "my-db", "10.96.0.9", {"port": 5432}, {"name": "x-y", "port": 53, "protocol": "UDP"}),
        service("other", "hidden", "10.96.0.8", {"port": 1}),
        service("shop", "headless", "None", {"port": 1}),
    )
    found = services_environment(rows, "shop", links=True)
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert {key: value for key, value in found.items() if key.startswith("MY_DB")} == {
        "MY_DB_SERVICE_HOST": "10.96.0.9",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_X_Y": "53",
        "MY_DB_PORT": "tcp://10.96.0.9:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.96.0.9:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.96.0.9",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.9:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.9",
    }
    assert not any(key.startswith(("HIDDEN", "HEADLESS")) for key in found)
    assert set(services_environment(rows, "shop", links=False)) == {
        key for key in found if key.startswith("KUBERNETES")
    }
