"""Admission plugins at a running server: what they fill in, and in which words they refuse."""

from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, pod, running

from knet.api.pod_resources import amounts_of
from knet.apiserver.admission.ignored_fields import ignored
from knet.apiserver.admission.limit_ranger import violations
from knet.apiserver.admission.plugins import plugins

JSON = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("admission")) as found:
        yield found


async def namespace(api: Api, name: str) -> str:
    """A namespace of one's own, with the account that its Pods run as."""
    assert (await api("POST", NAMESPACES, {"metadata": {"name": name}})).code == 201
    await api("POST", f"{NAMESPACES}/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"{NAMESPACES}/{name}"


def test_the_order_is_upstreams() -> None:
    names = list(dict.fromkeys(plugin.name for plugin in plugins()))
    upstream = [
        "NamespaceLifecycle",
        "LimitRanger",
        "ServiceAccount",
        "NodeRestriction",
        "TaintNodesByCondition",
        "PodSecurity",
        "Priority",
        "DefaultTolerationSeconds",
        "DefaultStorageClass",
        "StorageObjectInUseProtection",
        "PersistentVolumeClaimResize",
        "RuntimeClass",
        "CertificateApproval",
        "CertificateSigning",
        "CertificateSubjectRestriction",
        "DefaultIngressClass",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
        "ResourceQuota",
    ]
    # upstream has such things in the registry of the kinds
    for name in ("PrivilegeEscalation", "IgnoredFields", "UnrecognizedFormats"):
        names.remove(name)
    assert names == [name for name in upstream if name in names]


# ---- ServiceAccount ----------------------------------------------------------------------------------------------


def test_an_account_gives_its_pods_token_and_pull_secrets(server: Server) -> None:
    async def body(api: Api) -> None:
        space = await namespace(api, "accounts")
        account = {"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "registry"}]}
        assert (await api("POST", f"{space}/serviceaccounts", account)).code == 201
        silent = {"metadata": {"name": "silent"}, "automountServiceAccountToken": False}
        assert (await api("POST", f"{space}/serviceaccounts", silent)).code == 201

        async def made(**spec: Any) -> JSON:
            value = pod("")
            value["metadata"] = {"generateName": "p-"}
            value["spec"] |= spec
            answer = await api("POST", f"{space}/pods", value)
            assert answer.code == 201, answer.message
            found: JSON = answer.body["spec"]
            return found

        plain = await made(serviceAccountName="puller")
        assert plain["imagePullSecrets"] == [{"name": "registry"}]
        (volume,) = plain["volumes"]
        sources = volume["projected"]["sources"]
        assert [next(iter(row)) for row in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
        assert sources[0]["serviceAccountToken"] == {"expirationSeconds": 3607, "path": "token"}
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        mount = {"name": volume["name"], "readOnly": True, "mountPath": path}
        assert plain["containers"][0]["volumeMounts"] == [mount]
        own = await made(serviceAccountName="puller", imagePullSecrets=[{"name": "mine"}])
        assert own["imagePullSecrets"] == [{"name": "mine"}]
        assert "volumes" not in await made(serviceAccountName="silent")
        assert len((await made(serviceAccountName="silent", automountServiceAccountToken=True))["volumes"]) == 1
        assert "volumes" not in await made(automountServiceAccountToken=False)

    server.run(body)


_SECRET_ENV = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "k"}}}
_NOT_ALLOWED = "is not allowed because service account careful does not reference that secret"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, ""),
        ({"volumes": [{"name": "v", "secret": {"secretName": "known"}}]}, ""),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "hidden"}}]},
            f'volume with secret.secretName="hidden" {_NOT_ALLOWED}',
        ),
        (
            {"containers": [{"name": "c", "image": "i", "env": [_SECRET_ENV]}]},
            f'container c with envVar KEY referencing secret.secretName="hidden" {_NOT_ALLOWED}',
        ),
        (
            {"initContainers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "hidden"}}]}]},
            f'init container c with envFrom referencing secret.secretName="hidden" {_NOT_ALLOWED}',
        ),
        (
            {"imagePullSecrets": [{"name": "hidden"}]},
            'imagePullSecrets[0].name="hidden" is not allowed because service account careful does not reference that'
            " imagePullSecret",
        ),
    ],
)
def test_an_account_can_enforce_its_secrets(server: Server, spec: JSON, message: str) -> None:
    async def body(api: Api) -> None:
        metadata = {"name": "careful", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        account = {"metadata": metadata, "secrets": [{"name": "known"}]}
        await api("POST", f"{NAMESPACES}/default/serviceaccounts", account)
        value = pod("secretive")
        value["spec"] |= {"serviceAccountName": "careful", **spec}
        answer = await api("POST", f"{NAMESPACES}/default/pods?dryRun=All", value)
        if message:
            assert (answer.code, answer.message) == (403, f'pods "secretive" is forbidden: {message}')
        else:
            assert answer.code == 201, answer.message

    server.run(body)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "a mirror pod may not reference secrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
    ],
)
def test_a_mirror_pod_has_no_account(server: Server, spec: JSON, message: str) -> None:
    async def body(api: Api) -> None:
        value = pod("mirror", metadata={"name": "mirror", "annotations": {"kubernetes.io/config.mirror": "x"}})
        value["spec"] |= spec
        answer = await api("POST", f"{NAMESPACES}/default/pods", value)
        assert (answer.code, answer.message) == (403, f'pods "mirror" is forbidden: {message}')

    server.run(body)


# ---- Priority ----------------------------------------------------------------------------------------------------


def test_priority_follows_from_the_class(server: Server) -> None:
    async def body(api: Api) -> None:
        path = f"{await namespace(api, 'priority')}/pods"
        high = {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}
        assert (await api("POST", CLASSES, high)).code == 201

        async def made(name: str, **spec: Any) -> JSON:
            value = pod(name)
            value["spec"] |= spec
            answer = await api("POST", path, value)
            assert answer.code == 201, answer.message
            found: JSON = {key: answer.body["spec"].get(key) for key in ("priority", "preemptionPolicy")}
            return found

        assert await made("plain") == {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
        assert await made("high", priorityClassName="high") == {"priority": 1000, "preemptionPolicy": "Never"}
        critical = await made("critical", priorityClassName="system-node-critical", priority=2000001000)
        assert critical == {"priority": 2000001000, "preemptionPolicy": "PreemptLowerPriority"}
        patched = await api("PATCH", f"{path}/high", {"spec": {"priority": None}}, MERGE)
        assert (patched.code, patched.body["spec"]["priority"]) == (200, 1000)

    server.run(body)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        (
            {"priority": 5},
            "the integer value of priority (5) must not be provided in pod spec; priority admission controller"
            " computed 0 from the given PriorityClass name",
        ),
        (
            {"preemptionPolicy": "Never"},
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission"
            " controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ],
)
def test_priority_is_not_written_by_hand(server: Server, spec: JSON, message: str) -> None:
    async def body(api: Api) -> None:
        value = pod("web")
        value["spec"] |= spec
        answer = await api("POST", f"{NAMESPACES}/default/pods", value)
        assert (answer.code, answer.message) == (403, f'pods "web" is forbidden: {message}')

    server.run(body)


def test_there_is_one_default_class(server: Server) -> None:
    async def body(api: Api) -> None:
        first = {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True}
        assert (await api("POST", CLASSES, first)).code == 201
        answer = await api("POST", CLASSES, {"metadata": {"name": "other"}, "value": 8, "globalDefault": True})
        assert answer.code == 403
        assert answer.message.endswith("PriorityClass usual is already marked as default. Only one default can exist")
        made = await api("POST", f"{await namespace(api, 'usual')}/pods", pod("web"))
        assert (made.body["spec"]["priority"], made.body["spec"]["priorityClassName"]) == (7, "usual")
        assert (await api("DELETE", f"{CLASSES}/usual")).code == 200

    server.run(body)


# ---- LimitRanger -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "requests", "limits", "found"),
    [
        ({"min": {"cpu": "100m"}}, {"cpu": "50m"}, {}, ["minimum cpu usage per Pod is 100m, but request is 50m"]),
        ({"min": {"cpu": "100m"}}, {}, {}, ["minimum cpu usage per Pod is 100m.  No request is specified"]),
        (
            {"min": {"cpu": "1"}},
            {"cpu": "1"},
            {"cpu": "900m"},
            ["minimum cpu usage per Pod is 1, but limit is 900m"],
        ),
        ({"max": {"memory": "1Gi"}}, {}, {"memory": "2Gi"}, ["maximum memory usage per Pod is 1Gi, but limit is 2Gi"]),
        ({"max": {"memory": "1Gi"}}, {}, {}, ["maximum memory usage per Pod is 1Gi.  No limit is specified"]),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "100m"},
            {"cpu": "250m"},
            ["cpu max limit to request ratio per Pod is 2, but provided ratio is 2.500000"],
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {},
            {"cpu": "1"},
            ["cpu max limit to request ratio per Pod is 2, but no request is specified or request is 0"],
        ),
        ({"min": {"cpu": "1"}, "max": {"cpu": "2"}}, {"cpu": "1000m"}, {"cpu": "2000m"}, []),
    ],
)
def test_bounds(item: JSON, requests: JSON, limits: JSON, found: list[str]) -> None:
    assert violations({"type": "Pod", **item}, amounts_of(requests), amounts_of(limits)) == found


def test_limit_ranges_fill_in_and_refuse(server: Server) -> None:
    async def body(api: Api) -> None:
        path = await namespace(api, "limits")
        container = {
            "type": "Container",
            "default": {"cpu": "500m", "memory": "64Mi"},
            "defaultRequest": {"cpu": "100m"},
            "max": {"cpu": "1"},
        }
        claim = {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}}
        limits = [container, {"type": "Pod", "max": {"cpu": "1500m"}}, claim]
        answer = await api("POST", f"{path}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
        assert answer.code == 201
        made = await api("POST", f"{path}/pods", pod("web"))
        assert made.body["spec"]["containers"][0]["resources"] == {
            "limits": {"cpu": "500m", "memory": "64Mi"},
            "requests": {"cpu": "100m", "memory": "64Mi"},  # what has a default limit has that as default request
        }
        assert made.body["metadata"]["annotations"] == {
            "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu, memory request for container main; cpu,"
            " memory limit for container main"
        }
        assert made.body["status"]["qosClass"] == "Burstable"
        greedy = pod("greedy")
        greedy["spec"]["containers"] = [
            {"name": name, "image": "busybox:1", "resources": {"limits": {"cpu": limit}}}
            for name, limit in (("a", "1200m"), ("b", "800m"))
        ]
        answer = await api("POST", f"{path}/pods", greedy)
        assert (answer.code, answer.message) == (
            403,
            'pods "greedy" is forbidden: [maximum cpu usage per Container is 1, but limit is 1200m, maximum cpu usage'
            " per Pod is 1500m, but limit is 2]",
        )
        big = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
        answer = await api("POST", f"{path}/persistentvolumeclaims", {"metadata": {"name": "big"}, "spec": big})
        assert answer.message.endswith("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")

    server.run(body)


# ---- defaults of classes, nodes, runtime classes -------------------------------------------------------------------


def test_default_classes(server: Server) -> None:
    async def body(api: Api) -> None:
        path = await namespace(api, "classes")
        for name in ("slow", "usual"):
            marks = {"storageclass.kubernetes.io/is-default-class": str(name == "usual").lower()}
            value = {"metadata": {"name": name, "annotations": marks}, "provisioner": "example.com/none"}
            assert (await api("POST", "/apis/storage.k8s.io/v1/storageclasses", value)).code == 201
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claims = f"{path}/persistentvolumeclaims"
        made = await api("POST", claims, {"metadata": {"name": "a"}, "spec": spec})
        assert made.body["spec"]["storageClassName"] == "usual"
        made = await api("POST", claims, {"metadata": {"name": "b"}, "spec": {**spec, "storageClassName": ""}})
        assert made.body["spec"]["storageClassName"] == ""
        bigger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        assert (await api("PATCH", f"{claims}/a", bigger, MERGE)).code == 422  # it is not bound
        await api("PATCH", f"{claims}/a/status", {"status": {"phase": "Bound"}}, MERGE)
        answer = await api("PATCH", f"{claims}/a", bigger, MERGE)
        assert answer.code == 403
        assert answer.message.endswith("the storageclass that provisions the pvc must support resize")

        ingress = {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}
        ingresses = "/apis/networking.k8s.io/v1/namespaces/classes/ingresses"
        for name, code, class_name in (("one", 201, "one"), ("two", 403, None)):
            marks = {"ingressclass.kubernetes.io/is-default-class": "true"}
            value = {"metadata": {"name": name, "annotations": marks}, "spec": {"controller": "example.com/none"}}
            assert (await api("POST", "/apis/networking.k8s.io/v1/ingressclasses", value)).code == 201
            answer = await api("POST", ingresses, {"metadata": {"name": name}, **ingress})
            assert answer.code == code
            if class_name:
                assert answer.body["spec"]["ingressClassName"] == class_name
            else:
                assert answer.message.endswith("2 default IngressClasses were found, only 1 allowed")

    server.run(body)


def test_a_new_node_takes_no_pods(server: Server) -> None:
    async def body(api: Api) -> None:
        made = await api("POST", "/api/v1/nodes", {"metadata": {"name": "new"}})
        assert made.body["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]

    server.run(body)


def test_runtime_classes(server: Server) -> None:
    async def body(api: Api) -> None:
        path = f"{await namespace(api, 'runtime')}/pods"
        value = {
            "metadata": {"name": "heavy"},
            "handler": "runc",
            "overhead": {"podFixed": {"cpu": "250m"}},
            "scheduling": {"nodeSelector": {"disk": "ssd"}},
        }
        assert (await api("POST", "/apis/node.k8s.io/v1/runtimeclasses", value)).code == 201
        heavy = pod("web")
        heavy["spec"] |= {"runtimeClassName": "heavy", "nodeSelector": {"zone": "a"}}
        made = await api("POST", path, heavy)
        assert made.body["spec"]["overhead"] == {"cpu": "250m"}
        assert made.body["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "a"}
        for more, message in (
            ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
            (
                {"overhead": {"cpu": "1"}},
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
        ):
            bad = pod("bad")
            bad["spec"] |= more
            answer = await api("POST", path, bad)
            assert (answer.code, answer.message) == (403, f'pods "bad" is forbidden: {message}')

    server.run(body)


def test_plugins_see_deletions_one_by_one(server: Server) -> None:
    async def body(api: Api) -> None:
        for name in ("default", "kube-system", "kube-public"):
            answer = await api("DELETE", f"{NAMESPACES}/{name}")
            assert (answer.code, answer.message) == (
                403,
                f'namespaces "{name}" is forbidden: this namespace may not be deleted',
            )

    server.run(body)


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 1}}, []),
        ({"securityContext": {"seLinuxOptions": {"level": "s0"}}}, ["securityContext.seLinuxOptions"]),
        ({"resourceClaims": [{"name": "gpu"}]}, ["resourceClaims"]),
        (
            {"volumes": [{"emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}}, {"emptyDir": {"sizeLimit": "1Mi"}}]},
            ["volumes[1].emptyDir.sizeLimit"],
        ),
        (
            {
                "initContainers": [{"securityContext": {"procMount": "Unmasked"}}],
                "containers": [
                    {"resources": {"limits": {"cpu": "1"}}, "volumeMounts": [{"mountPropagation": "None"}]},
                    {
                        "resources": {"limits": {"ephemeral-storage": "1Gi"}, "requests": {"hugepages-2Mi": "2Mi"}},
                        "volumeMounts": [{}, {"mountPropagation": "Bidirectional"}],
                    },
                ],
            },
            [
                "initContainers[0].securityContext.procMount",
                "containers[1].resources.limits[ephemeral-storage]",
                "containers[1].resources.requests[hugepages-2Mi]",
                "containers[1].volumeMounts[1].mountPropagation",
            ],
        ),
    ],
)
def test_what_is_ignored_is_known_by_its_path(spec: JSON, paths: list[str]) -> None:
    assert list(ignored(spec)) == paths


def test_who_asks_for_what_is_ignored_is_warned(server: Server) -> None:
    async def test(api: Api) -> None:
        home = await namespace(api, "ignored")
        body = pod("web")
        body["spec"]["securityContext"] = {"seLinuxOptions": {"level": "s0"}}
        answer = await api("POST", f"{home}/pods", body)
        assert (answer.code, answer.warnings) == (
            201,
            ('299 - "spec.securityContext.seLinuxOptions: stored, but ignored by knet"',),
        )
        template = {"metadata": {"labels": {"app": "web"}}, "spec": body["spec"]}
        workload = {
            "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
        }
        answer = await api("POST", "/apis/apps/v1/namespaces/ignored/deployments", workload)
        assert (answer.code, answer.warnings) == (
            201,
            ('299 - "spec.template.spec.securityContext.seLinuxOptions: stored, but ignored by knet"',),
        )

    server.run(test)
