"""PodSecurity: each check of the Pod Security Standards, the labels, and what clients of a server are told."""

from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, deployment, pod, running

from knet.apiserver.admission.pod_security.checks import evaluate
from knet.apiserver.admission.pod_security.policy import LATEST, Level, Policy, policy_of

JSON = dict[str, Any]

HARDENED: JSON = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(context: JSON | None = None, pod_context: JSON | None = None, volume: JSON | None = None, **more: Any) -> JSON:
    """A hardened Pod's spec with one container ``x``, and what makes it worse."""
    container = {"name": "x", "securityContext": {**HARDENED, **(context or {})}, **more.pop("container", {})}
    value: JSON = {"containers": [container], "securityContext": pod_context or {}, **more}
    if volume is not None:
        value["volumes"] = [{"name": "v", **volume}]
    return value


def found(level: str, value: JSON, annotations: JSON | None = None, minor: int = LATEST) -> list[str]:
    return [str(row) for row in evaluate(Level(level, minor), {"annotations": annotations or {}}, value)]


#: (spec, what baseline finds); restricted finds at least the same unless it words it differently
BASELINE: dict[str, tuple[JSON, str]] = {
    "apparmor of a container": (
        spec({"appArmorProfile": {"type": "Unconfined"}}),
        'forbidden AppArmor profile (container "x" must not set AppArmor profile type to "Unconfined")',
    ),
    "apparmor of the pod": (
        spec(pod_context={"appArmorProfile": {"type": "Unconfined"}}),
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ),
    "host namespaces": (
        spec(hostNetwork=True, hostPID=True, hostIPC=True),
        "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
    ),
    "host port": (
        spec(container={"ports": [{"hostPort": 80}, {"hostPort": 443}, {"containerPort": 1}]}),
        'hostPort (container "x" uses hostPorts 443, 80)',
    ),
    "privileged": (
        spec({"privileged": True}),
        'privileged (container "x" must not set securityContext.privileged=true)',
    ),
    "proc mount": (
        spec({"procMount": "Unmasked"}),
        'procMount (container "x" must not set securityContext.procMount to "Unmasked")',
    ),
    "selinux": (
        spec({"seLinuxOptions": {"type": "bad_t"}}, {"seLinuxOptions": {"user": "u", "role": "r"}}),
        'seLinuxOptions (pod and container "x" set forbidden securityContext.seLinuxOptions: type "bad_t"; user may not'
        " be set; role may not be set)",
    ),
    "seccomp": (
        spec({"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (container "x" must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
    "sysctls": (
        spec(pod_context={"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "net.core.somaxconn"}]}),
        "forbidden sysctls (net.core.somaxconn)",
    ),
    "windows host process": (
        spec(pod_context={"windowsOptions": {"hostProcess": True}}),
        "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ),
}


@pytest.mark.parametrize("case", BASELINE)
def test_baseline(case: str) -> None:
    value, finding = BASELINE[case]
    assert found("baseline", value) == [finding]
    assert finding in found("restricted", value)
    assert found("privileged", value) == []


#: (spec, what baseline finds, what restricted finds instead)
REPLACED: dict[str, tuple[JSON, str, str]] = {
    "capabilities": (
        spec({"capabilities": {"add": ["SYS_ADMIN", "NET_RAW", "CHOWN"], "drop": ["ALL"]}}),
        'non-default capabilities (container "x" must not include "NET_RAW", "SYS_ADMIN" in'
        " securityContext.capabilities.add)",
        'unrestricted capabilities (container "x" must not include "CHOWN", "NET_RAW", "SYS_ADMIN" in'
        " securityContext.capabilities.add)",
    ),
    "hostPath": (
        spec(volume={"hostPath": {"path": "/"}}),
        'hostPath volumes (volume "v")',
        'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ),
}


@pytest.mark.parametrize("case", REPLACED)
def test_restricted_words_some_checks_of_baseline_its_own_way(case: str) -> None:
    value, baseline, restricted = REPLACED[case]
    assert found("baseline", value) == [baseline]
    assert found("restricted", value) == [restricted]


#: (spec, what restricted finds and baseline does not)
RESTRICTED: dict[str, tuple[JSON, str]] = {
    "escalation": (
        spec({"allowPrivilegeEscalation": None}),
        'allowPrivilegeEscalation != false (container "x" must set securityContext.allowPrivilegeEscalation=false)',
    ),
    "capabilities kept": (
        spec({"capabilities": {"add": ["NET_BIND_SERVICE"]}}),
        'unrestricted capabilities (container "x" must set securityContext.capabilities.drop=["ALL"])',
    ),
    "volume": (
        spec(volume={"nfs": {}}),
        'restricted volume types (volume "v" uses restricted volume type "nfs")',
    ),
    "root not excluded": (
        spec({"runAsNonRoot": None}),
        'runAsNonRoot != true (pod or container "x" must set securityContext.runAsNonRoot=true)',
    ),
    "root allowed": (
        spec({"runAsNonRoot": False}, {"runAsNonRoot": True}),
        'runAsNonRoot != true (container "x" must not set securityContext.runAsNonRoot=false)',
    ),
    "root": (spec({"runAsUser": 0}, {"runAsUser": 0}), 'runAsUser=0 (pod and container "x" must not set runAsUser=0)'),
    "no seccomp": (
        spec({"seccompProfile": None}),
        'seccompProfile (pod or container "x" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
        ' "Localhost")',
    ),
}


@pytest.mark.parametrize("case", RESTRICTED)
def test_restricted(case: str) -> None:
    value, finding = RESTRICTED[case]
    assert found("restricted", value) == [finding]
    assert found("baseline", value) == []


def test_what_is_fine() -> None:
    volumes = [{"name": kind, kind: {}} for kind in ("configMap", "emptyDir", "projected", "persistentVolumeClaim")]
    context = {
        "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        "runAsUser": 1000,
        "appArmorProfile": {"type": "Localhost"},
        "seLinuxOptions": {"type": "container_t", "level": "s0"},
        "procMount": "Default",
        "privileged": False,
    }
    assert found("restricted", spec(context, {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}, volumes=volumes)) == []
    by_the_pod = spec({"runAsNonRoot": None, "seccompProfile": None})
    by_the_pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    assert found("restricted", by_the_pod) == []


def test_all_kinds_of_containers_are_looked_at() -> None:
    value = {
        "initContainers": [{"name": "i", "securityContext": {"privileged": True}}],
        "containers": [{"name": "c"}],
        "ephemeralContainers": [{"name": "e", "securityContext": {"privileged": True}}],
    }
    assert found("baseline", value) == ['privileged (containers "i", "e" must not set securityContext.privileged=true)']


def test_annotations_count_as_profiles() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/x"
    assert found("baseline", spec(), {key: "unconfined"}) == [
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    ]
    assert found("baseline", spec(), {key: "localhost/mine"}) == []


def test_a_version_is_what_it_was() -> None:
    keepalive = spec(pod_context={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]})
    assert found("baseline", keepalive, minor=28) == ["forbidden sysctls (net.ipv4.tcp_keepalive_time)"]
    assert found("baseline", keepalive, minor=29) == []
    engine = spec({"seLinuxOptions": {"type": "container_engine_t"}})
    assert found("baseline", engine, minor=30) and not found("baseline", engine, minor=31)


def test_windows_pods_need_no_linux_settings() -> None:
    value = {"os": {"name": "windows"}, "containers": [{"name": "x", "securityContext": {"runAsNonRoot": True}}]}
    assert found("restricted", value) == []


PREFIX = "pod-security.kubernetes.io/"
RESTRICTED_NOW, BASELINE_30 = Level("restricted"), Level("baseline", 30)


@pytest.mark.parametrize(
    ("labels", "policy"),
    [
        ({}, Policy()),
        ({"enforce": "restricted"}, Policy(RESTRICTED_NOW, Level(), RESTRICTED_NOW)),
        ({"enforce": "restricted", "warn": "privileged"}, Policy(RESTRICTED_NOW)),
        ({"enforce": "baseline", "enforce-version": "v1.30"}, Policy(BASELINE_30, Level(), BASELINE_30)),
        ({"warn": "restricted", "audit": "baseline"}, Policy(Level(), Level("baseline"), RESTRICTED_NOW)),
    ],
)
def test_labels(labels: dict[str, str], policy: Policy) -> None:
    assert policy_of({PREFIX + key: value for key, value in labels.items()} | {"app": "x"}) == (policy, [])


def test_labels_that_make_no_sense() -> None:
    policy, errors = policy_of({PREFIX + "enforce": "strict", PREFIX + "warn-version": "1.30"})
    assert policy.enforce == RESTRICTED_NOW
    assert [str(error) for error in errors] == [
        f'metadata.labels[{PREFIX}enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}warn-version]: Invalid value: "1.30": must be "latest" or "v1.x"',
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running(tmp_path_factory.mktemp("security")) as found:
        yield found


NAMESPACES = "/api/v1/namespaces"


async def secure(api: Api, name: str, **labels: str) -> str:
    metadata = {"name": name, "labels": {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}}
    assert (await api("POST", NAMESPACES, {"metadata": metadata})).code == 201
    await api("POST", f"{NAMESPACES}/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"{NAMESPACES}/{name}"


ALL_OF_RESTRICTED = (
    'PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "main" must set'
    ' securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "main" must set'
    ' securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "main" must set'
    ' securityContext.runAsNonRoot=true), seccompProfile (pod or container "main" must set'
    ' securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


def warning(text: str) -> str:
    return '299 - "' + text.replace('"', '\\"') + '"'


def test_a_pod_is_refused_and_a_workload_warned_about(server: Server) -> None:
    async def body(api: Api) -> None:
        namespace = await secure(api, "strict", enforce="restricted")
        answer = await api("POST", f"{namespace}/pods", pod("web"))
        assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
        assert answer.message == f'pods "web" is forbidden: violates {ALL_OF_RESTRICTED}'
        workload = deployment()
        workload["spec"]["template"]["spec"]["containers"][0]["name"] = "main"
        answer = await api("POST", "/apis/apps/v1/namespaces/strict/deployments", workload)
        assert (answer.code, answer.warnings) == (201, (warning(f"would violate {ALL_OF_RESTRICTED}"),))
        good = pod("good")
        good["spec"]["containers"][0]["securityContext"] = HARDENED
        assert (await api("POST", f"{namespace}/pods", good)).code == 201
        answer = await api("PATCH", f"{namespace}/pods/good", {"metadata": {"labels": {"a": "b"}}}, MERGE)
        assert (answer.code, answer.warnings) == (200, ())

    server.run(body)


def test_a_level_that_only_warns(server: Server) -> None:
    async def body(api: Api) -> None:
        namespace = await secure(api, "lenient", warn="restricted", audit="restricted")
        answer = await api("POST", f"{namespace}/pods", pod("web"))
        assert (answer.code, answer.warnings) == (201, (warning(f"would violate {ALL_OF_RESTRICTED}"),))

    server.run(body)


def test_raising_the_level_names_the_pods_that_violate_it(server: Server) -> None:
    async def body(api: Api) -> None:
        namespace = await secure(api, "raised")
        for name in ("b", "a"):
            assert (await api("POST", f"{namespace}/pods", pod(name))).code == 201
        bad = {"metadata": {"labels": {PREFIX + "enforce": "severe"}}}
        answer = await api("PATCH", namespace, bad, MERGE)
        assert (answer.code, answer.body["reason"]) == (422, "Invalid")
        answer = await api("PATCH", namespace, {"metadata": {"labels": {PREFIX + "enforce": "restricted"}}}, MERGE)
        reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
        assert (answer.code, answer.warnings) == (
            200,
            (
                warning(
                    'existing pods in namespace "raised" violate the new PodSecurity enforce level "restricted:latest"'
                ),
                warning(f"a (and 1 other pod): {reasons}"),
            ),
        )

    server.run(body)
