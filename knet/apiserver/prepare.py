"""The state objects start in, and what updates to the main resource leave alone (pkg/registry/*/strategy.go)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from knet.api.families import family_of
from knet.api.pod_resources import qos_class
from knet.api.services import externally_accessible, needs_health_check, needs_node_ports
from knet.apiserver.context import now
from knet.store import Object

_DECISIONS = ("Approved", "Denied")


def new_pod(value: Object) -> None:
    """A Pod starts Pending, its class of service decided for good; gated until its gates are taken away."""
    spec = value["spec"]
    value["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        value["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastTransitionTime": now(),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    if spec.get("affinity"):
        labels = value["metadata"].get("labels", {})
        for term in _affinity_terms(spec["affinity"]):
            _apply_label_keys(term, labels)


def _affinity_terms(affinity: Object) -> Iterator[Object]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        yield from terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for row in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield row.get("podAffinityTerm") or {}


def _apply_label_keys(term: Object, labels: Object) -> None:
    """The Pod's own values of matchLabelKeys and mismatchLabelKeys become part of the selector (KEP-3633)."""
    selector = term.get("labelSelector")
    if selector is None:
        return
    for keys, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(keys) or ():
            if key in labels:
                row = {"key": key, "operator": operator, "values": [labels[key]]}
                selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), row]


def pod_grace_period(value: Object, requested: int | None) -> int:
    """Seconds a deleted Pod may take; 0 if no kubelet has to stop it."""
    spec, status = value.get("spec", {}), value.get("status", {})
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace: int = spec.get("terminationGracePeriodSeconds", 30) if requested is None else requested
    return 1 if grace < 0 else grace


def only_ephemeral_containers(value: Object, old: Object) -> Object:
    """pods/ephemeralcontainers: nothing else of the Pod changes."""
    containers = value.get("spec", {}).get("ephemeralContainers", [])
    others = {key: item for key, item in old["spec"].items() if key != "ephemeralContainers"}
    return {**old, "spec": {**others, "ephemeralContainers": containers} if containers else others}


def keep_spec(value: Object, old: Object) -> None:
    """A CertificateSigningRequest stays what it was when it was made."""
    value["spec"] = old["spec"]


def only_decision(value: Object, old: Object) -> Object:
    """certificatesigningrequests/approval: the conditions that decide; those of the signer stay as they are."""
    status: Object = old.get("status", {})
    others = [row for row in status.get("conditions", ()) if row.get("type") not in _DECISIONS]
    given = value.get("status", {}).get("conditions", ())
    decided = [row for row in given if row.get("type") in _DECISIONS]
    return {**old, "status": {**status, "conditions": decided + others}}


def new_namespace(value: Object) -> None:
    """A Namespace stays until its content has been removed."""
    finalizers = value.setdefault("spec", {}).setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def keep_namespace(value: Object, old: Object) -> None:
    """Its finalizers are written by /finalize only."""
    value["spec"] = {**value.get("spec", {}), "finalizers": old.get("spec", {}).get("finalizers", [])}


def new_service(value: Object) -> None:
    """Its address may be told the old way, alone; what was told both ways is for validation."""
    spec = value["spec"]
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _keep_addresses(spec: Object, before: Object) -> None:
    """upstream: patchAllocatedValues and NormalizeClusterIPs; the families here, too, lest such an update look like
    one that changes something."""
    if not spec.get("clusterIP"):
        spec["clusterIP"] = before["clusterIP"]
    if not spec.get("clusterIPs"):
        spec["clusterIPs"] = list(before["clusterIPs"])
    if spec["clusterIP"] != before["clusterIP"] and spec["clusterIPs"] == before["clusterIPs"]:
        spec["clusterIPs"] = [spec["clusterIP"]]
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = before["ipFamilyPolicy"]
    if not spec.get("ipFamilies"):
        headless = spec["clusterIP"] == "None"
        spec["ipFamilies"] = list(before["ipFamilies"]) if headless else [family_of(ip) for ip in spec["clusterIPs"]]


def keep_service(value: Object, old: Object) -> None:
    """An update that leaves out what was allocated keeps it, as long as the type still needs it."""
    spec, before = value["spec"], old["spec"]
    if spec["type"] == "ExternalName":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(key, None)
    elif before.get("type") == "ExternalName":
        new_service(value)
    else:
        _keep_addresses(spec, before)
    if needs_node_ports(spec) and needs_node_ports(before):
        _keep_node_ports(spec.get("ports", ()), before.get("ports", ()))
    elif spec["type"] not in ("NodePort", "LoadBalancer"):
        former = {row.get("nodePort") for row in before.get("ports", ())}
        for row in spec.get("ports", ()):
            if row.get("nodePort") in former:
                row.pop("nodePort", None)
    if needs_health_check(spec) and needs_health_check(before) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before["healthCheckNodePort"]
    # what the former type left behind; what is given anew is refused by validation
    for key, needed in _TYPE_DEPENDENT.items():
        if needed(before) and not needed(spec) and spec.get(key) == before.get(key):
            spec.pop(key, None)


#: fields that a Service loses with the type that needed them
_TYPE_DEPENDENT: Mapping[str, Callable[[Object], bool]] = {
    "externalTrafficPolicy": externally_accessible,
    "healthCheckNodePort": needs_health_check,
    "allocateLoadBalancerNodePorts": lambda spec: spec.get("type") == "LoadBalancer",
    "loadBalancerClass": lambda spec: spec.get("type") == "LoadBalancer",
}


def _keep_node_ports(ports: Sequence[Object], before: Sequence[Object]) -> None:
    """A port keeps its number by its name, unless another port of the Service has taken that meanwhile."""
    numbers = {row.get("nodePort") for row in ports}
    known = {row.get("name"): row["nodePort"] for row in before if row.get("nodePort")}
    for row in ports:
        number = known.get(row.get("name"))
        if number and not row.get("nodePort") and number not in numbers:
            row["nodePort"] = number
            numbers.add(number)


def new_job(value: Object) -> None:
    """A Job's pods are found by its uid, unless it says by what itself."""
    spec = value.get("spec", {})
    template = spec.get("template")
    if spec.get("manualSelector") or template is None:
        return
    uid, name = value["metadata"]["uid"], value["metadata"].get("name", "")
    metadata = template.setdefault("metadata", {})
    own = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    metadata["labels"] = {**metadata.get("labels", {}), **own}
    if not value["metadata"].get("labels"):  # as defaults have it, which came before these
        value["metadata"]["labels"] = dict(metadata["labels"])
    selector = spec.setdefault("selector", {})
    selector["matchLabels"] = {**selector.get("matchLabels", {}), "batch.kubernetes.io/controller-uid": uid}


def new_policy(value: Object) -> None:
    """A ValidatingAdmissionPolicy has been compiled with its validation; nothing was found that types would tell."""
    value["status"] = {"observedGeneration": 1, "typeChecking": {}}


def changed_policy(value: Object, old: Object) -> None:
    """So has a changed one."""
    if value.get("spec") != old.get("spec"):
        observed = {"observedGeneration": old["metadata"].get("generation", 0) + 1, "typeChecking": {}}
        value["status"] = {**(value.get("status") or {}), **observed}
