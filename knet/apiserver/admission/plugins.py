"""The table of plugins, in upstream's order (pkg/kubeapiserver/options/plugins.go)."""

from knet.apiserver.admission import default_toleration_seconds, namespace_lifecycle, service_account
from knet.apiserver.admission.chain import Plugin
from knet.apiserver.admission.pod_security import plugin as pod_security


def plugins() -> tuple[Plugin, ...]:
    """The plugins of one server; one that treats several kinds differently has several rows."""
    return (
        Plugin(
            name="NamespaceLifecycle",
            operations=("CREATE", "UPDATE", "DELETE"),
            mutate=namespace_lifecycle.admit,
        ),
        Plugin(
            name="ServiceAccount",
            operations=("CREATE",),
            resources=("pods",),
            mutate=service_account.admit,
        ),
        Plugin(
            name="PodSecurity",
            operations=("CREATE", "UPDATE"),
            resources=("pods", "pods/ephemeralcontainers", "pods/resize"),
            validate=pod_security.validate_pod,
        ),
        Plugin(
            name="PodSecurity",
            operations=("CREATE", "UPDATE"),
            resources=tuple(pod_security.TEMPLATES),
            validate=pod_security.validate_workload,
        ),
        Plugin(
            name="PodSecurity",
            operations=("CREATE", "UPDATE"),
            resources=("namespaces",),
            validate=pod_security.validate_namespace,
        ),
        Plugin(
            name="DefaultTolerationSeconds",
            operations=("CREATE", "UPDATE"),
            resources=("pods",),
            mutate=default_toleration_seconds.admit,
        ),
    )
