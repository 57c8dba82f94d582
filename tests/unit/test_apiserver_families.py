"""Services of one and of two address families: what is filled in, allocated, refused, and what may change."""

# tables are read row by row
# ruff: noqa: E501

from collections.abc import Iterator
from typing import Any

import pytest
from apiserver_harness import MERGE, Api, Server, running
from hypothesis import given as examples
from hypothesis import strategies as st

from knet.api import resources
from knet.api.families import ranges
from knet.api.schema import schema_of
from knet.apiserver.addresses import Allocations, claims_of
from knet.apiserver.kinds import schema_kinds, served
from knet.apiserver.service_families import settle, unchanged
from knet.apiserver.status import StatusError

V4, V6, DUAL = ("IPv4",), ("IPv6",), ("IPv4", "IPv6")
DUAL_CIDR = "10.96.0.0/12,fd00:10:96::/112"
SERVICES = "/api/v1/namespaces/default/services"
Spec = dict[str, Any]

SELECTED: Spec = {"type": "ClusterIP", "selector": {"app": "web"}}
HEADLESS: Spec = {**SELECTED, "clusterIP": "None", "clusterIPs": ["None"]}
LONE: Spec = {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"]}


def given(*addresses: str, **more: Any) -> Spec:
    return {**SELECTED, "clusterIP": addresses[0], "clusterIPs": list(addresses), **more}


@pytest.mark.parametrize(
    ("spec", "configured", "policy", "families"),
    [
        (SELECTED, V4, "SingleStack", ["IPv4"]),
        (SELECTED, V6, "SingleStack", ["IPv6"]),
        (SELECTED, DUAL, "SingleStack", ["IPv4"]),
        (SELECTED, DUAL[::-1], "SingleStack", ["IPv6"]),
        ({**SELECTED, "ipFamilies": ["IPv6"]}, DUAL, "SingleStack", ["IPv6"]),
        ({**SELECTED, "ipFamilyPolicy": "PreferDualStack"}, V4, "PreferDualStack", ["IPv4"]),
        ({**SELECTED, "ipFamilyPolicy": "PreferDualStack"}, DUAL, "PreferDualStack", ["IPv4", "IPv6"]),
        ({**SELECTED, "ipFamilyPolicy": "RequireDualStack"}, DUAL[::-1], "RequireDualStack", ["IPv6", "IPv4"]),
        ({**SELECTED, "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, DUAL, "RequireDualStack", ["IPv6", "IPv4"]),
        (given("fd00:10:96::5"), DUAL, "SingleStack", ["IPv6"]),
        (given("fd00:10:96::5", ipFamilyPolicy="PreferDualStack"), DUAL, "PreferDualStack", ["IPv6", "IPv4"]),
        (HEADLESS, DUAL, "SingleStack", ["IPv4"]),
        ({**HEADLESS, "ipFamilyPolicy": "PreferDualStack"}, DUAL, "PreferDualStack", ["IPv4", "IPv6"]),
        (LONE, V4, "RequireDualStack", ["IPv4", "IPv6"]),
        ({**LONE, "ipFamilies": ["IPv6"]}, V4, "RequireDualStack", ["IPv6", "IPv4"]),
        ({**LONE, "ipFamilyPolicy": "SingleStack"}, V6, "SingleStack", ["IPv6"]),
    ],
)  # fmt: skip
def test_policy_and_families_are_filled_in(spec: Spec, configured: tuple[str, ...], policy: str, families: list[str]) -> None:  # fmt: skip
    spec = dict(spec)
    assert settle(spec, None, configured) == []
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == (policy, families)


def test_an_external_name_has_no_families() -> None:
    spec: Spec = {"type": "ExternalName", "externalName": "example.com"}
    assert settle(spec, None, DUAL) == []
    assert spec.keys() == {"type", "externalName"}


@pytest.mark.parametrize(
    ("spec", "configured", "error"),
    [
        (given("ten"), V4, 'spec.clusterIPs[0]: Invalid value: "ten": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({**SELECTED, "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.8"]}, V4, 'spec.clusterIPs: Invalid value: []string{"10.96.0.8"}: first value must match `clusterIP`'),
        ({**SELECTED, "clusterIPs": ["10.96.0.8"]}, V4, 'spec.clusterIPs: Invalid value: []string{"10.96.0.8"}: must be empty when `clusterIP` is not specified'),
        ({**SELECTED, "ipFamilies": ["IPv5"]}, V4, 'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"'),
        ({**SELECTED, "ipFamilies": ["IPv4", "IPv4"]}, DUAL, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
        ({**SELECTED, "ipFamilyPolicy": "Both"}, DUAL, 'spec.ipFamilyPolicy: Unsupported value: "Both": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"'),
        (given("None", "10.96.0.7"), DUAL, 'spec.clusterIPs: Invalid value: []string{"None", "10.96.0.7"}: \'None\' must be the first and only value'),
        (given("10.96.0.7", "10.96.0.8", ipFamilyPolicy="RequireDualStack"), DUAL, 'spec.clusterIPs: Invalid value: []string{"10.96.0.7", "10.96.0.8"}: may specify no more than one IP for each IP family'),
        (given("10.96.0.7", ipFamilies=["IPv6"]), DUAL, 'spec.clusterIPs[0]: Invalid value: "10.96.0.7": expected an IPv6 value as indicated by `ipFamilies[0]`'),
        (given("10.96.0.7", "fd00:10:96::7"), DUAL, 'spec.ipFamilyPolicy: Invalid value: "SingleStack": must be \'RequireDualStack\' or \'PreferDualStack\' when multiple cluster IPs are specified'),
        ({**SELECTED, "ipFamilies": ["IPv4", "IPv6"]}, DUAL, 'spec.ipFamilyPolicy: Invalid value: "SingleStack": must be \'RequireDualStack\' or \'PreferDualStack\' when multiple IP families are specified'),
        ({**SELECTED, "ipFamilyPolicy": "RequireDualStack"}, V4, 'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'),
        ({**SELECTED, "ipFamilies": ["IPv6"]}, V4, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (given("fd00::1"), V4, 'spec.clusterIPs[0]: Invalid value: []string{"fd00::1"}: IPv6 is not configured on this cluster'),
    ],
)  # fmt: skip
def test_what_the_cluster_cannot_give_is_refused(spec: Spec, configured: tuple[str, ...], error: str) -> None:
    assert error in [str(found) for found in settle(dict(spec), None, configured)]


@examples(
    policy=st.sampled_from([None, "SingleStack", "PreferDualStack", "RequireDualStack"]),
    families=st.sampled_from([None, ["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]]),
    addresses=st.sampled_from(
        [None, ["None"], ["10.96.0.7"], ["fd00::7"], ["10.96.0.7", "fd00::7"], ["fd00::7", "10.96.0.7"]]
    ),
    selector=st.sampled_from([None, {"app": "web"}]),
    configured=st.sampled_from([V4, V6, DUAL, DUAL[::-1]]),
)
def test_whatever_is_accepted_is_settled_for_good(policy: str | None, families: list[str] | None, addresses: list[str] | None, selector: dict[str, str] | None, configured: tuple[str, ...]) -> None:  # fmt: skip
    asked: Spec = {"type": "ClusterIP", "ipFamilyPolicy": policy, "ipFamilies": families, "selector": selector}
    spec = {**asked, "clusterIPs": addresses, "clusterIP": addresses[0] if addresses else ""}
    if settle(spec, None, configured):
        return
    lone = spec["clusterIP"] == "None" and not selector
    assert lone or set(spec["ipFamilies"]) <= set(configured)
    assert spec["ipFamilies"][: len(families or ())] == (families or [])
    assert len(spec["ipFamilies"]) == 1 or spec["ipFamilyPolicy"] != "SingleStack"
    assert len(spec["ipFamilies"]) == 2 or spec["ipFamilyPolicy"] != "RequireDualStack"
    if spec["clusterIP"] != "None":
        given_out = {"IPv4": "10.96.0.8", "IPv6": "fd00::8"}
        spec["clusterIPs"] = (addresses or []) + [given_out[f] for f in spec["ipFamilies"][len(addresses or ()) :]]
        spec["clusterIP"] = spec["clusterIPs"][0]
    again = {key: list(value) if isinstance(value, list) else value for key, value in spec.items()}
    assert settle(again, spec, configured) == []
    assert unchanged(again, spec) == []
    assert again == spec


@pytest.mark.parametrize(
    ("cidr", "taken", "expected"),
    [
        ("10.96.0.0/30", [], {"10.96.0.1", "10.96.0.2"}),
        ("fd00::/126", [], {"fd00::1", "fd00::2", "fd00::3"}),
        ("fd00::/126", ["fd00::1", "fd00:0::3"], {"fd00::2"}),
    ],
)
def test_every_address_of_a_range_is_given_out_once(cidr: str, taken: list[str], expected: set[str]) -> None:
    kind = served(schema_of(schema_kinds()))[resources.SERVICES]
    allocations = Allocations(ranges(cidr))
    allocations.load([{"spec": given(address)} for address in taken])
    found = set()
    for _ in expected:
        value = {"metadata": {"name": "web"}, "spec": dict(SELECTED)}
        with allocations.claim(kind, value, None):
            found |= claims_of(value).addresses
    assert found == expected
    late = {"metadata": {"name": "late"}, "spec": dict(SELECTED)}
    with pytest.raises(StatusError, match="failed to allocate a serviceIP: range is full"), allocations.claim(kind, late, None):  # fmt: skip
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("dual"), service_cidr=DUAL_CIDR) as found:
        yield found


def service(name: str, **spec: Any) -> Spec:
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec}}


def test_kubernetes_itself_has_the_primary_family_alone(server: Server) -> None:
    async def test(api: Api) -> None:
        spec = (await api("GET", f"{SERVICES}/kubernetes")).body["spec"]
        assert (spec["clusterIPs"], spec["ipFamilies"], spec["ipFamilyPolicy"]) == (
            ["10.96.0.1"],
            ["IPv4"],
            "SingleStack",
        )

    server.run(test)


def test_a_service_is_made_dual_and_single_again(server: Server) -> None:
    async def test(api: Api) -> None:
        path = f"{SERVICES}/web"
        made = (await api("POST", SERVICES, service("web"))).body["spec"]
        first = made["clusterIP"]
        dry = await api("PATCH", f"{path}?dryRun=All", {"spec": {"ipFamilyPolicy": "RequireDualStack"}}, MERGE)
        assert len(dry.body["spec"]["clusterIPs"]) == 2
        both = (await api("PATCH", path, {"spec": {"ipFamilyPolicy": "RequireDualStack"}}, MERGE)).body
        assert both["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
        assert both["spec"]["clusterIPs"][0] == first
        second = both["spec"]["clusterIPs"][1]
        assert second.startswith("fd00:10:96::")
        again = await api("PUT", path, service("web"))  # the manifest it was made with changes nothing
        assert again.body["spec"] == both["spec"]
        rival = given(first, second, ipFamilyPolicy="RequireDualStack")
        refused = await api("POST", SERVICES, service("rival", **rival))
        assert (
            f'spec.clusterIPs: Invalid value: []string{{"{first}", "{second}"}}: failed to allocate IP {second}: provided IP is already allocated'
            in refused.message
        )
        swapped = await api("PATCH", path, {"spec": {"ipFamilies": ["IPv6", "IPv4"]}}, MERGE)
        assert "expected an IPv6 value as indicated by `ipFamilies[0]`" in swapped.message
        moved = await api("PATCH", path, {"spec": {"clusterIPs": [first, "fd00:10:96::77"]}}, MERGE)
        assert "spec.clusterIPs[1]: Invalid value" in moved.message and "may not change once set" in moved.message
        less = await api("PATCH", path, {"spec": {"clusterIPs": [first]}}, MERGE)
        assert "must be 'SingleStack' to release the secondary cluster IP" in less.message
        single = (await api("PATCH", path, {"spec": {"ipFamilyPolicy": "SingleStack"}}, MERGE)).body["spec"]
        assert (single["clusterIPs"], single["ipFamilies"]) == ([first], ["IPv4"])
        nothing = await api("POST", SERVICES, service("nulls", clusterIPs=None, ipFamilies=None, ipFamilyPolicy=None))
        assert nothing.body["spec"]["ipFamilies"] == ["IPv4"]
        taken = service("taken", clusterIP=second)
        assert (await api("POST", SERVICES, taken)).body["spec"]["ipFamilies"] == ["IPv6"]

    server.run(test)


def test_an_external_name_is_refused_families_and_loses_what_it_had(server: Server) -> None:
    async def test(api: Api) -> None:
        refused = await api("POST", SERVICES, service("ext", type="ExternalName", externalName="example.com", ipFamilyPolicy="SingleStack"))  # fmt: skip
        assert "spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services" in refused.message
        await api("POST", SERVICES, service("turned", ipFamilyPolicy="RequireDualStack"))
        change = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
        turned = (await api("PATCH", f"{SERVICES}/turned", change, MERGE)).body["spec"]
        assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & turned.keys()
        back = (await api("PATCH", f"{SERVICES}/turned", {"spec": {"type": "ClusterIP", "externalName": None}}, MERGE)).body["spec"]  # fmt: skip
        assert back["ipFamilies"] == ["IPv4"]

    server.run(test)
