"""How a Service is reached from outside and where its traffic may go (pkg/apis/core/validation: validateService).

Whether a kind of Service may have a field at all depends on its type, so these are rules for a whole spec.
"""

import json

from knet.api.services import externally_accessible, needs_health_check
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import forbidden, form, numbered, one_of
from knet.store import Object

#: the port of kubelets: a load balancer that forwards it would lay them open
_KUBELET_PORT = 10250
#: a day
_MAX_AFFINITY_SECONDS = 86400
_SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
_LOAD_BALANCERS_ONLY = forbidden("may only be used when `type` is 'LoadBalancer'")

_policy = one_of("Cluster", "Local")
_ip_mode = one_of("VIP", "Proxy")


def traffic(spec: Object, annotations: Object) -> Errors:
    """All rules of this module that hold for a new spec, in upstream's order."""
    return [
        *_kubelet_port(spec),
        *_affinity(spec),
        *_node_ports(spec),
        *_source_ranges(spec, annotations),
        *_load_balancer(spec),
        *_policies(spec),
    ]


def _kubelet_port(spec: Object) -> Errors:
    detail = f"may not expose port {_KUBELET_PORT} externally since it is used by kubelet"
    return [
        field.invalid(here, _KUBELET_PORT, detail)
        for port, here in numbered(spec.get("ports", ()), "spec.ports")
        if spec.get("type") == "LoadBalancer" and port.get("port") == _KUBELET_PORT
    ]


def _affinity(spec: Object) -> Errors:
    path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    if spec.get("sessionAffinity") != "ClientIP":
        return []
    seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
    if 0 < seconds <= _MAX_AFFINITY_SECONDS:
        return []
    return [field.invalid(path, seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}")]


def _node_ports(spec: Object) -> Errors:
    errors: Errors = []
    seen = set()
    for port, here in numbered(spec.get("ports", ()), "spec.ports"):
        pair = port.get("protocol"), port.get("nodePort")
        if pair in seen:
            errors.append(field.duplicate(f"{here}.nodePort", pair[1]))
        if pair[1]:
            seen.add(pair)
    return errors


def _source_ranges(spec: Object, annotations: Object) -> Errors:
    path, ranges = "spec.LoadBalancerSourceRanges", spec.get("loadBalancerSourceRanges") or ()
    rows = [(text, f"{path}[{index}]") for index, text in enumerate(ranges)]
    if not rows and _SOURCE_RANGES_ANNOTATION in annotations:
        path = f"metadata.annotations[{_SOURCE_RANGES_ANNOTATION}]"
        text = annotations[_SOURCE_RANGES_ANNOTATION].strip()
        rows = [(part, path) for part in text.split(",") if text]
    elif not rows:
        return []
    errors = [] if spec.get("type") == "LoadBalancer" else _LOAD_BALANCERS_ONLY(None, path)
    # padding is let pass, since the annotation that came before the field was split at commas only
    return errors + [error for text, here in rows for error in form(formats.cidr)(text.strip(), here)]


def _load_balancer(spec: Object) -> Errors:
    balanced = spec.get("type") == "LoadBalancer"
    errors: Errors = []
    if "allocateLoadBalancerNodePorts" in spec and not balanced:
        errors += _LOAD_BALANCERS_ONLY(None, "spec.allocateLoadBalancerNodePorts")
    if spec.get("loadBalancerClass") is not None:
        rule = form(formats.qualified_name) if balanced else _LOAD_BALANCERS_ONLY
        errors += rule(spec["loadBalancerClass"], "spec.loadBalancerClass")
    return errors


def _policies(spec: Object) -> Errors:
    errors: Errors = []
    external, number = spec.get("externalTrafficPolicy"), spec.get("healthCheckNodePort", 0)
    if external and not externally_accessible(spec):
        detail = "may only be set for externally-accessible services"
        errors.append(field.invalid("spec.externalTrafficPolicy", external, detail))
    elif external:
        errors += _policy(external, "spec.externalTrafficPolicy")
    if number and not needs_health_check(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(field.invalid("spec.healthCheckNodePort", number, detail))
    elif number and (wrong := formats.port_number(number)):
        errors.append(field.invalid("spec.healthCheckNodePort", number, wrong))
    if "internalTrafficPolicy" in spec:
        errors += _policy(spec["internalTrafficPolicy"], "spec.internalTrafficPolicy")
    if spec.get("trafficDistribution") is not None:
        errors += one_of("PreferClose")(spec["trafficDistribution"], "spec.trafficDistribution")
    return errors


def traffic_update(spec: Object, before: Object) -> Errors:
    """What stays while a load balancer stands on it."""
    errors: Errors = []
    if needs_health_check(spec) and needs_health_check(before):
        number, former = spec.get("healthCheckNodePort", 0), before.get("healthCheckNodePort", 0)
        if number != former:
            errors.append(field.forbidden("spec.healthCheckNodePort", "field is immutable"))
    if spec.get("type") == before.get("type") == "LoadBalancer":
        name = spec.get("loadBalancerClass")
        if name != before.get("loadBalancerClass"):
            shown = field.Go(json.dumps(name))
            errors.append(field.invalid("spec.loadBalancerClass", shown, "may not change once set"))
    return errors


def validate_service_status(value: Object, _old: Object) -> Errors:
    """status.loadBalancer, which a load balancer's controller writes (ValidateLoadBalancerStatus)."""
    path, errors = "status.loadBalancer.ingress", Errors()
    rows = value.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    if rows and value["spec"].get("type") != "LoadBalancer":
        return [field.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    for row, here in numbered(rows, path):
        address, mode, name = row.get("ip", ""), row.get("ipMode"), row.get("hostname", "")
        if address:
            errors += form(formats.ip_address)(address, f"{here}.ip")
            errors += _ip_mode(mode, f"{here}.ipMode") if mode else [field.required(f"{here}.ipMode")]
        elif mode:
            errors.append(field.forbidden(f"{here}.ipMode", "may not be specified when `ip` is not set"))
        if name and not formats.ip_address(name):
            errors.append(field.invalid(f"{here}.hostname", name, "must be a DNS name, not an IP address"))
        elif name:
            errors += form(formats.dns_subdomain)(name, f"{here}.hostname")
    return errors
