"""NetworkPolicies at the API server: defaults, and what upstream says about wrong ones."""

# upstream's sentences are long, and a table has one row per line
# ruff: noqa: E501

from typing import Any

import pytest

from knet.apiserver.defaults.policy import default_network_policy
from knet.apiserver.validation.networking import validate_network_policy

NO_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def found(**spec: Any) -> list[str]:
    value = {"spec": spec}
    default_network_policy(value)
    return [str(error) for error in validate_network_policy(value)]


def peer(**fields: Any) -> list[str]:
    return found(ingress=[{"from": [fields]}])


def block(cidr: str, *parts: str) -> list[str]:
    return peer(ipBlock={"cidr": cidr, **({"except": list(parts)} if parts else {})})


def port(**fields: Any) -> list[str]:
    return found(egress=[{"ports": [fields]}])


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (peer(), ["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (peer(podSelector={}), []),
        (peer(podSelector={}, namespaceSelector={}), []),
        (peer(podSelector={}, ipBlock={"cidr": "10.0.0.0/8"}), ["spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"]),
        (peer(podSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}), ["spec.ingress[0].from[0].podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"]),
        (peer(namespaceSelector={"matchLabels": {"/": "x"}}), ['spec.ingress[0].from[0].namespaceSelector.matchLabels: Invalid value: "/": prefix part must be non-empty']),
        (block(""), ["spec.ingress[0].from[0].ipBlock.cidr: Required value"]),
        (block("10.0.0.0/8"), []),
        (block("10.1.2.3/8", "10.1.2.3/16"), []),
        (block("2001:db8::/32", "2001:db8:1::/48"), []),
        (block("10.0.0.1"), [f'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1": {NO_CIDR}']),
        (block("10.0.0.0/255.0.0.0"), [f'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0/255.0.0.0": {NO_CIDR}']),
        (block("fe80::%eth0/64"), [f'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "fe80::%eth0/64": {NO_CIDR}']),
        (block("10.0.0.0/8", "x"), [f'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "x": {NO_CIDR}']),
        (block("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16"), ['spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`']),
        (block("10.0.0.0/8", "10.0.0.0/8"), ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`']),
        (block("10.0.0.0/8", "2001:db8::/48"), ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "2001:db8::/48": must be a strict subset of `cidr`']),
        (port(), []),
        (port(port="http"), []),
        (port(port=80, endPort=80), []),
        (port(port=0), ["spec.egress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
        (port(port="--"), ['spec.egress[0].ports[0].port: Invalid value: "--": must contain at least one letter (a-z)']),
        (port(port=80, endPort=79), ["spec.egress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`"]),
        (port(port=80, endPort=70000), ["spec.egress[0].ports[0].endPort: Invalid value: 70000: must be between 1 and 65535, inclusive"]),
        (port(port="http", endPort=90), ["spec.egress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric"]),
        (port(endPort=90), ["spec.egress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified"]),
        (port(protocol="ICMP"), ['spec.egress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"']),
        (found(podSelector={"matchLabels": {"/": "x"}}), ['spec.podSelector.matchLabels: Invalid value: "/": prefix part must be non-empty']),
        (found(policyTypes=["Both"]), ['spec.policyTypes[0]: Unsupported value: "Both": supported values: "Egress", "Ingress"']),
        (found(policyTypes=["Ingress", "Egress", "Ingress"]), ['spec.policyTypes: Invalid value: []networking.PolicyType{"Ingress", "Egress", "Ingress"}: may not specify more than two policyTypes']),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused(errors: list[str], said: list[str]) -> None:
    assert errors == said


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"ingress": [{}]}, ["Ingress"]),
        ({"egress": []}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"policyTypes": ["Egress"]}, ["Egress"]),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, ["Egress"]),
    ],
)
def test_what_a_policy_is_about_follows_from_what_it_says(spec: dict[str, Any], types: list[str]) -> None:
    value: dict[str, Any] = {"spec": spec}
    default_network_policy(value)
    assert (value["spec"]["policyTypes"], value["spec"]["podSelector"]) == (types, {})
