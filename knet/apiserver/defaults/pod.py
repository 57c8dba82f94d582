"""Pods and pod templates (pkg/apis/core/v1/defaults.go)."""

from knet.api.names import DEFAULT_SCHEDULER
from knet.store import Object

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
#: mode 0644
_FILE_MODE = 420
#: volume sources that take a defaultMode
_MODED = ("secret", "configMap", "downwardAPI", "projected")
#: an hour: the life of a projected token
_TOKEN_SECONDS = 3600


def default_pod(value: Object) -> None:
    """A Pod."""
    spec = value.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        if limits := container.get("resources", {}).get("limits"):
            container["resources"]["requests"] = {**limits, **container["resources"].get("requests", {})}
    default_pod_spec(spec)


def default_pod_spec(spec: Object) -> None:
    """The spec of a Pod or of a template.

    enableServiceLinks and requests that follow from limits are a Pod's only, as upstream.
    """
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", DEFAULT_SCHEDULER)
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in (
        *spec.get("initContainers", ()),
        *spec.get("containers", ()),
        *spec.get("ephemeralContainers", ()),
    ):
        _container(container, bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes", ()):
        _volume(volume)


def _container(container: Object, host_network: bool) -> None:
    if image := container.get("image"):
        container.setdefault("imagePullPolicy", pull_policy(image))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    for variable in container.get("env", ()):
        if reference := variable.get("valueFrom", {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")
    for name in _PROBES:
        if probe := container.get(name):
            for key, seconds in _PROBE.items():
                if not probe.get(key):
                    probe[key] = seconds
            _handler(probe)
    for hook in container.get("lifecycle", {}).values():
        if isinstance(hook, dict):
            _handler(hook)


def _handler(handler: Object) -> None:
    if http := handler.get("httpGet"):
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")
    if (grpc := handler.get("grpc")) is not None:
        grpc.setdefault("service", "")


def _volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for kind in _MODED:
        if (source := volume.get(kind)) is not None:
            source.setdefault("defaultMode", _FILE_MODE)
    if (path := volume.get("hostPath")) is not None:
        path.setdefault("type", "")
    for source in volume.get("projected", {}).get("sources", ()):
        if token := source.get("serviceAccountToken"):
            token.setdefault("expirationSeconds", _TOKEN_SECONDS)
        for item in source.get("downwardAPI", {}).get("items", ()):
            if reference := item.get("fieldRef"):
                reference.setdefault("apiVersion", "v1")
    for item in volume.get("downwardAPI", {}).get("items", ()):
        if reference := item.get("fieldRef"):
            reference.setdefault("apiVersion", "v1")


def pull_policy(image: str) -> str:
    """Always for ``latest`` or no tag, unless pinned by digest.

    >>> pull_policy("nginx"), pull_policy("registry:5000/nginx"), pull_policy("nginx:1.25"), pull_policy("a@sha256:b")
    ('Always', 'Always', 'IfNotPresent', 'IfNotPresent')
    """
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"
