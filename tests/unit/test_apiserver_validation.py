"""Validation, defaults and types, as tables: what goes in, what upstream says."""

# upstream's sentences are long, and a table has one row per line
# ruff: noqa: E501

from typing import Any

import pytest

from knet.api.patch import merge_patch
from knet.api.pod_resources import qos_class
from knet.api.schema import SchemaError, canonical_quantity, conform, schema_of
from knet.apiserver import formats
from knet.apiserver.defaults.apps import default_deployment
from knet.apiserver.defaults.core import default_secret, default_service
from knet.apiserver.defaults.pod import default_pod, pull_policy
from knet.apiserver.kinds import schema_kinds
from knet.apiserver.prepare import pod_grace_period
from knet.apiserver.validation.apps import validate_deployment, validate_selector_update
from knet.apiserver.validation.cluster import validate_event
from knet.apiserver.validation.data import validate_secret
from knet.apiserver.validation.metadata import common
from knet.apiserver.validation.node import validate_node
from knet.apiserver.validation.pod import validate_pod, validate_pod_update
from knet.apiserver.validation.service import validate_service
from knet.apiserver.validation.service_traffic import validate_service_status

SCHEMA = schema_of(schema_kinds())


def pod(**spec: Any) -> dict[str, Any]:
    value = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    default_pod(value)
    return value


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "i", **fields}])


def test_a_plain_pod_is_valid() -> None:
    assert validate_pod(pod()) == []


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (pod(containers=[]), "spec.containers: Required value"),
        (container(name=""), "spec.containers[0].name: Required value"),
        (container(image=""), "spec.containers[0].image: Required value"),
        (container(image=" i"), 'spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'),
        (pod(containers=[{"name": "c", "image": "i"}] * 2), 'spec.containers[1].name: Duplicate value: "c"'),
        (container(imagePullPolicy="Never?"), 'spec.containers[0].imagePullPolicy: Unsupported value: "Never?": supported values: "Always", "IfNotPresent", "Never"'),
        (container(ports=[{}]), "spec.containers[0].ports[0].containerPort: Required value"),
        (container(ports=[{"containerPort": 70000}]), "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
        (container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]), 'spec.containers[0].ports[1].name: Duplicate value: "a"'),
        (container(ports=[{"containerPort": 1, "protocol": "ICMP"}]), 'spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'),
        (container(env=[{"name": ""}]), "spec.containers[0].env[0].name: Required value"),
        (container(env=[{"name": "A=B"}]), 'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable ASCII characters other than \'=\''),
        (container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), 'spec.containers[0].volumeMounts[0].name: Not found: "v"'),
        (container(readinessProbe={}), "spec.containers[0].readinessProbe: Required value: must specify a handler type"),
        (container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 2}), "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        (container(livenessProbe={"httpGet": {"port": 0}}), "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        (container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}), 'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        (pod(restartPolicy="Sometimes"), 'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
        (pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]), "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"),
        (pod(volumes=[{"name": "v", "secret": {}}]), "spec.volumes[0].secret.secretName: Required value"),
        (pod(terminationGracePeriodSeconds=-1), "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"),
        (pod(tolerations=[{"effect": "NoSchedule", "tolerationSeconds": 1, "operator": "Exists"}]), "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"),
        (pod(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}), "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term"),
    ],
)  # fmt: skip
def test_a_wrong_pod_is_refused(value: dict[str, Any], error: str) -> None:
    assert error in [str(found) for found in validate_pod(value)]


def test_tolerations_may_be_added_to_a_pod_but_not_taken_away() -> None:
    row = {"key": "a", "operator": "Exists"}
    assert validate_pod_update(pod(tolerations=[row, {"operator": "Exists"}]), pod(tolerations=[row])) == []
    assert validate_pod_update(pod(), pod(tolerations=[row])) != []


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    value = {"metadata": {}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}}
    default_deployment(value)
    return value


GO_ZERO = 'intstr.IntOrString{Type:0, IntVal:0, StrVal:""}'


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"selector": None}, "spec.selector: Required value"),
        ({"selector": {}}, "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for deployment"),
        ({"selector": {"matchLabels": {"app": "other"}}}, 'spec.template.metadata.labels: Invalid value: map[string]string{"app":"web"}: `selector` does not match template `labels`'),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {}}}, "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"),
        ({"strategy": {"type": "Sideways"}}, 'spec.strategy.type: Unsupported value: "Sideways": supported values: "Recreate", "RollingUpdate"'),
        ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}, f"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: {GO_ZERO}: may not be 0 when `maxSurge` is 0"),
        ({"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": ""}}}, """spec.strategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:""}: a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"""),
        ({"minReadySeconds": 600}, "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"),
        ({"template": None}, "spec.template: Required value"),
    ],
)  # fmt: skip
def test_a_wrong_deployment_is_refused(spec: dict[str, Any], error: str) -> None:
    value = deployment()
    value["spec"] = {
        key: item for key, item in merge_patch(value["spec"], {}).items() if spec.get(key, item) is not None
    }
    for key, item in spec.items():
        if item is not None:
            value["spec"][key] = item
    default_deployment(value)
    assert error in [str(found) for found in validate_deployment(value)]


def test_a_deployments_selector_never_changes() -> None:
    [error] = validate_selector_update(deployment(selector={"matchLabels": {"app": "b"}}), deployment())
    assert str(error) == (
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":"b"},'
        " MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable"
    )


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, 'spec.ports[1].name: Duplicate value: "a"'),
        ({"ports": [{"port": 1, "nodePort": 30000}]}, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"type": "NodePort", "ports": [{"port": 1}], "clusterIP": "None"}, 'spec.clusterIPs[0]: Invalid value: "None": may not be set to \'None\' for NodePort services'),
        ({"type": "LoadBalancer", "ports": [{"port": 10250}]}, "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet"),
        ({"type": "NodePort", "ports": [{"name": "a", "port": 1, "nodePort": 30001}, {"name": "b", "port": 2, "nodePort": 30001}]}, "spec.ports[1].nodePort: Duplicate value: 30001"),
        ({"ports": [{"port": 1}], "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}, "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400"),
        ({"ports": [{"port": 1}], "externalTrafficPolicy": "Local"}, 'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'),
        ({"type": "NodePort", "ports": [{"port": 1}], "externalTrafficPolicy": "Near"}, 'spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'),
        ({"type": "NodePort", "ports": [{"port": 1}], "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009}, "spec.healthCheckNodePort: Invalid value: 30009: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"),
        ({"ports": [{"port": 1}], "trafficDistribution": "Far"}, 'spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose"'),
        ({"ports": [{"port": 1}], "loadBalancerSourceRanges": ["10.0.0.0/8"]}, "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"type": "LoadBalancer", "ports": [{"port": 1}], "loadBalancerSourceRanges": [" 10.0.0.1/8 ", "10.0.0.1"]}, 'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.1": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
        ({"ports": [{"port": 1}], "loadBalancerClass": "a.b/c"}, "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"ports": [{"port": 1}], "allocateLoadBalancerNodePorts": False}, "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"),
        ({"type": "Other", "ports": [{"port": 1}]}, 'spec.type: Unsupported value: "Other": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'),
    ],
)  # fmt: skip
def test_a_wrong_service_is_refused(spec: dict[str, Any], error: str) -> None:
    value = {"metadata": {}, "spec": spec}
    default_service(value)
    assert error in [str(found) for found in validate_service(value)]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"ip": "10.0.0.1"}, ""),
        ({"ip": "10.0.0.1", "ipMode": "Proxy"}, ""),
        ({"hostname": "lb.example.com"}, ""),
        ({"ip": "ten"}, 'status.loadBalancer.ingress[0].ip: Invalid value: "ten": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({"ip": "10.0.0.1", "ipMode": "L2"}, 'status.loadBalancer.ingress[0].ipMode: Unsupported value: "L2": supported values: "VIP", "Proxy"'),
        ({"hostname": "a", "ipMode": "VIP"}, "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"),
        ({"hostname": "10.0.0.1"}, 'status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'),
    ],
)  # fmt: skip
def test_what_a_load_balancer_writes_into_a_services_status(row: dict[str, Any], error: str) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 1}]}
    value = {"metadata": {}, "spec": spec, "status": {"loadBalancer": {"ingress": [row]}}}
    default_service(value)
    assert [str(found) for found in validate_service_status(value, value)] == ([error] if error else [])
    other = {**value, "spec": {**spec, "type": "NodePort"}}
    assert [found.field for found in validate_service_status(other, value)] == ["status.loadBalancer.ingress"]


def test_other_kinds_are_checked_too() -> None:
    secret = {"metadata": {}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "a b": ""}}
    assert {error.field for error in validate_secret(secret)} == {"data[a b]", "data[tls.key]"}
    event = {"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}
    assert (
        str(validate_event(event)[0]) == 'involvedObject.namespace: Invalid value: "b": does not match event.namespace'
    )
    taints = [{"key": "a", "effect": "NoSchedule"}] * 2 + [{"key": "b", "effect": "Never"}]
    assert {error.reason for error in validate_node({"spec": {"taints": taints}})} == {
        "FieldValueDuplicate",
        "FieldValueNotSupported",
    }


def test_labels_annotations_and_owners_are_checked() -> None:
    owners = [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1", "controller": True}] * 2
    metadata = {"labels": {"a b": "c", "d": "e f"}, "annotations": {"/x": ""}, "ownerReferences": owners}
    assert [error.field for error in common(metadata)] == [
        "metadata.labels",
        "metadata.labels",
        "metadata.annotations",
        "metadata.ownerReferences",
    ]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (formats.dns_label, ["a", "a-1", "1a"], ["", "-a", "A", "a.b", "a" * 64]),
        (formats.dns_subdomain, ["a.b", "a-1.b"], ["", "a..b", ".a", "a_b", "a" * 254]),
        (formats.dns_1035_label, ["a1"], ["1a", "a.b"]),
        (formats.qualified_name, ["a", "example.com/A_b.c"], ["", "/a", "a/", "a b", "A.b_/c", "a" * 64]),
        (formats.label_value, ["", "A_b.c"], ["-a", "a b", "a" * 64]),
        (formats.port_name, ["http", "a-1"], ["HTTP", "1", "a--b", "-a", "a" * 16]),
        (formats.config_key, [".a", "A_b-c"], ["", "..", "a/b"]),
        (formats.path_segment, ["a:b"], [".", "a/b", "a%"]),
    ],
)
def test_formats(check: Any, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if check(text)] == []
    assert [text for text in bad if not check(text)] == []


# ---- defaults --------------------------------------------------------------------------------------------


def test_a_pod_gets_upstreams_defaults() -> None:
    value = container(
        ports=[{"containerPort": 80}], livenessProbe={"httpGet": {"port": 80}}, resources={"limits": {"cpu": "1"}}
    )
    spec = value["spec"]
    assert {key: spec[key] for key in spec if key != "containers"} == {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
    }
    assert spec["containers"][0] == {
        "name": "c",
        "image": "i",
        "imagePullPolicy": "Always",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "livenessProbe": {
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
    }


def test_defaults_change_nothing_the_second_time() -> None:
    for make in (pod, deployment):
        value, again = make(), make()
        default_pod(again) if make is pod else default_deployment(again)
        assert again == value


@pytest.mark.parametrize(
    ("image", "policy"),
    [("nginx", "Always"), ("nginx:latest", "Always"), ("host:5000/a", "Always"), ("nginx:1", "IfNotPresent"),
     ("nginx@sha256:aa", "IfNotPresent")],
)  # fmt: skip
def test_the_pull_policy_follows_from_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_string_data_becomes_data() -> None:
    value = {"metadata": {}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}
    default_secret(value)
    assert value == {"metadata": {}, "type": "Opaque", "data": {"a": "Yg==", "c": "ZA=="}}


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_the_class_of_service_follows_from_the_resources(resources: dict[str, Any], qos: str) -> None:
    assert qos_class({"containers": [{"resources": resources}]}) == qos


@pytest.mark.parametrize(
    ("spec", "status", "requested", "grace"),
    [
        ({}, {}, None, 0),
        ({"nodeName": "n1"}, {}, None, 30),
        ({"nodeName": "n1", "terminationGracePeriodSeconds": 5}, {}, None, 5),
        ({"nodeName": "n1"}, {}, 0, 0),
        ({"nodeName": "n1"}, {}, -1, 1),
        ({"nodeName": "n1"}, {"phase": "Succeeded"}, None, 0),
    ],
)
def test_grace_is_for_pods_that_a_kubelet_has_to_stop(
    spec: dict[str, Any], status: dict[str, Any], requested: int | None, grace: int
) -> None:
    assert pod_grace_period({"spec": spec, "status": status}, requested) == grace


# ---- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [(0.5, "500m"), ("0.5", "500m"), (1, "1"), ("1000m", "1"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("100000", "100k"),
     ("0", "0"), ("1e3", "1e3"), ("128974848", "128974848"), ("1023Ki", "1023Ki"), ("0.1m", "100u"), ("-5", "-5")],
)  # fmt: skip
def test_quantities_are_stored_in_canonical_form(given: Any, stored: str) -> None:
    assert canonical_quantity(given) == stored


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"spec": {"replicas": "3"}}, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"spec": {"replicas": 3.5}}, "json: cannot unmarshal number 3.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"spec": {"replicas": 1 << 40}}, "json: cannot unmarshal number 1099511627776 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ({"spec": []}, "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        ({"spec": {"template": {"spec": {"containers": [{"image": 1}]}}}}, "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image of type string"),
        ({"metadata": {"labels": {"a": True}}}, "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels.a of type string"),
        ({"metadata": {"creationTimestamp": "yesterday"}}, 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
    ],
)  # fmt: skip
def test_wrong_types_are_reported_like_gos_decoder_does(value: dict[str, Any], error: str) -> None:
    with pytest.raises(SchemaError) as caught:
        conform(SCHEMA.type_of("apps", "v1", "Deployment"), value)
    assert str(caught.value) == error


def test_unknown_fields_and_nulls_are_removed() -> None:
    value: dict[str, Any] = {
        "spec": {"containers": [{"name": "c", "portz": [], "image": None}], "nodeSelector": {"a": None}},
        "extra": 1,
    }
    unknown = conform(SCHEMA.type_of("", "v1", "Pod"), value)
    assert unknown == ["spec.containers[0].portz", "extra"]
    assert value == {"spec": {"containers": [{"name": "c"}], "nodeSelector": {"a": ""}}}
