"""Which controllers run: the flag --controllers of kube-controller-manager, with its names of today and of before.

``*`` stands for all, ``name`` for one, ``-name`` for all but one; the first word about a controller decides.
"""

from collections.abc import Collection, Sequence

#: the short names, deprecated since 1.27
ALIASES = {
    "daemonset": "daemonset-controller",
    "deployment": "deployment-controller",
    "replicaset": "replicaset-controller",
    "replicationcontroller": "replicationcontroller-controller",
    "statefulset": "statefulset-controller",
    "job": "job-controller",
    "cronjob": "cronjob-controller",
    "horizontalpodautoscaling": "horizontal-pod-autoscaler-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "endpointslice": "endpointslice-controller",
    "nodeipam": "node-ipam-controller",
    "nodelifecycle": "node-lifecycle-controller",
    "namespace": "namespace-controller",
    "serviceaccount": "serviceaccount-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
    "serviceaccount-token": "serviceaccount-token-controller",
    "clusterrole-aggregation": "clusterrole-aggregation-controller",
    "tokencleaner": "token-cleaner-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "service": "service-lb-controller",
    "garbagecollector": "garbage-collector-controller",
    "podgc": "pod-garbage-collector-controller",
    "disruption": "disruption-controller",
    "resourcequota": "resourcequota-controller",
    "persistentvolume-binder": "persistentvolume-binder-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "ephemeral-volume": "ephemeral-volume-controller",
}


def words(text: str) -> list[str]:
    """The words of a list with commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def selected(asked: Sequence[str], known: Collection[str]) -> list[str]:
    """Those of the ``known`` controllers that are to run; ValueError for a word that is about none of them."""
    choices: dict[str, bool] = {}
    for word in asked:
        name = word.removeprefix("-")
        name = ALIASES.get(name, name)
        if name != "*" and name not in known:
            raise ValueError(f'"{name}" is not in the list of known controllers; there are: {", ".join(known)}')
        choices.setdefault(name, not word.startswith("-"))
    return [name for name in known if choices.get(name, choices.get("*", False))]
