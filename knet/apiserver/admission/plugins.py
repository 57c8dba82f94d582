"""The table of plugins, in upstream's order (pkg/kubeapiserver/options/plugins.go)."""

from knet.apiserver.admission import default_toleration_seconds, namespace_lifecycle, service_account
from knet.apiserver.admission.chain import Plugin


def plugins() -> tuple[Plugin, ...]:
    """The plugins of one server."""
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
            name="DefaultTolerationSeconds",
            operations=("CREATE", "UPDATE"),
            resources=("pods",),
            mutate=default_toleration_seconds.admit,
        ),
    )
