"""EndpointSlices and Endpoints of a Service: golden objects, and the fewest changes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knet.api.objects import Endpoints, EndpointSlice, Node, Pod, Service
from knet.controllers.endpointslice.endpoints import endpoints_body
from knet.controllers.endpointslice.members import Member, members
from knet.controllers.endpointslice.slices import Changes, Create, create_body, plan, update_body
from knet.controllers.endpointslice.subsets import subsets


def service(**spec: Any) -> Service:
    body = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec}
    meta = {"name": "web", "namespace": "default", "uid": "svc", "labels": {"team": "a"}}
    return msgspec.convert({"metadata": meta, "spec": body}, Service)


def pod(number: int, ready: bool = True, deleting: bool = False, port: int = 8080, **spec: Any) -> Pod:
    name = f"web-{number}"
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}}
    if deleting:
        meta["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]
    status = {
        "phase": "Running",
        "podIP": f"10.244.0.{number}",
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    body = {"metadata": meta, "spec": {"nodeName": "n1", "containers": containers, **spec}, "status": status}
    return msgspec.convert(body, Pod)


def node(name: str) -> Node | None:
    if name != "n1":
        return None
    labels = {"topology.kubernetes.io/zone": "rack1"}
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Node)


def wanted(*pods: Pod, of: Service | None = None) -> list[Member]:
    return members(of or service(), pods, node)


class Store:
    """The slices as the API server would hold them after a plan was carried out."""

    def __init__(self, subject: Service) -> None:
        self.service = subject
        self.slices: dict[str, EndpointSlice] = {}
        self.made = 0

    def sync(self, *pods: Pod) -> Changes:
        changes = plan(self.service, self.slices.values(), wanted(*pods, of=self.service))
        for update in changes.update:
            body = update_body(self.service, update)
            old = self.slices[update.slice.name]
            self._put(old.name, {**body, "addressType": old.addressType})
        for create in changes.create:
            self.made += 1
            self._put(f"web-{self.made}", create_body(self.service, create))
        for row in changes.delete:
            del self.slices[row.name]
        assert plan(self.service, self.slices.values(), wanted(*pods, of=self.service)) == ([], [], [])
        return changes

    def _put(self, name: str, body: dict[str, Any]) -> None:
        labels = {key: value for key, value in body["metadata"]["labels"].items() if value is not None}
        meta = {"name": name, "namespace": "default", "labels": labels, "resourceVersion": "1"}
        self.slices[name] = msgspec.convert({**body, "metadata": meta}, EndpointSlice)

    def sizes(self) -> list[int]:
        return [len(row.endpoints) for row in self.slices.values()]


def test_a_slice_as_it_goes_on_the_wire() -> None:
    changes = plan(service(), [], wanted(pod(1), pod(2, ready=False)))
    assert create_body(service(), changes.create[0]) == {
        "metadata": {
            "generateName": "web-",
            "namespace": "default",
            "labels": {
                "team": "a",
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": "web",
                    "uid": "svc",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.244.0.1"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": "n1",
                "zone": "rack1",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "web-1", "uid": "web-1"},
            },
            {
                "addresses": ["10.244.0.2"],
                "conditions": {"ready": False, "serving": False, "terminating": False},
                "nodeName": "n1",
                "zone": "rack1",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "web-2", "uid": "web-2"},
            },
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


@pytest.mark.parametrize(
    ("subject", "of", "expected"),
    [
        (pod(1), service(), (True, True, False)),
        (pod(1, ready=False), service(), (False, False, False)),
        (pod(1, deleting=True), service(), (False, True, True)),
        (pod(1, ready=False, deleting=True), service(), (False, False, True)),
        (pod(1, ready=False), service(publishNotReadyAddresses=True), (True, False, False)),
    ],
)
def test_conditions(subject: Pod, of: Service, expected: tuple[bool, bool, bool]) -> None:
    found = wanted(subject, of=of)[0].endpoint.conditions
    assert (found.ready, found.serving, found.terminating) == expected


def test_traffic_that_prefers_what_is_close_is_hinted_at_each_ready_endpoints_zone() -> None:
    cluster = Store(service())
    cluster.sync(pod(1), pod(2, ready=False))
    cluster.service = service(trafficDistribution="PreferClose")
    [update] = cluster.sync(pod(1), pod(2, ready=False)).update
    hints = [row.get("hints") for row in update_body(cluster.service, update)["endpoints"]]
    assert hints == [{"forZones": [{"name": "rack1"}]}, None]
    assert cluster.sync(pod(1), pod(2, ready=False)) == ([], [], [])
    cluster.service = service()
    [update] = cluster.sync(pod(1), pod(2, ready=False)).update
    assert not any("hints" in row for row in update_body(cluster.service, update)["endpoints"])


def test_who_is_no_endpoint() -> None:
    finished = msgspec.convert({"status": {"phase": "Failed", "podIP": "10.244.0.9"}}, Pod)
    nowhere = pod(3, nodeName="gone")
    assert wanted(finished, nowhere, Pod()) == []
    assert len(wanted(nowhere, of=service(publishNotReadyAddresses=True))) == 1


def test_a_name_below_a_headless_service() -> None:
    headless = service(clusterIP="None")
    named = pod(1, hostname="db-0", subdomain="web")
    assert wanted(named, of=headless)[0].endpoint.hostname == "db-0"
    assert wanted(pod(1, hostname="db-0", subdomain="other"), of=headless)[0].endpoint.hostname == ""
    labels = create_body(headless, Create("IPv4", (), ()))["metadata"]["labels"]
    assert labels["service.kubernetes.io/headless"] == ""


def test_a_service_without_pods_has_one_empty_slice_and_is_left_alone() -> None:
    store = Store(service())
    assert len(store.sync().create) == 1
    assert store.sync() == ([], [], [])
    store.sync(pod(1))
    store.sync()
    assert (store.sizes(), store.made) == ([0], 1), "the slice keeps its name through all of this"


def dual(number: int) -> Pod:
    ips = ({"ip": f"10.244.0.{number}"}, {"ip": f"fd00:10:244::{number}"})
    return msgspec.convert(
        {**msgspec.to_builtins(pod(number)), "status": {**msgspec.to_builtins(pod(number).status), "podIPs": ips}}, Pod
    )


def test_each_family_has_slices_of_its_own_and_an_empty_one_where_no_pod_has_it() -> None:
    store = Store(service(ipFamilies=["IPv4", "IPv6"]))
    store.sync(pod(1))
    assert {row.addressType: len(row.endpoints) for row in store.slices.values()} == {"IPv4": 1, "IPv6": 0}
    store.sync(pod(1), dual(2))
    found = {row.addressType: [end.addresses for end in row.endpoints] for row in store.slices.values()}
    assert found == {"IPv4": [("10.244.0.1",), ("10.244.0.2",)], "IPv6": [("fd00:10:244::2",)]}
    assert store.made == 2
    store.service = service(ipFamilies=["IPv6"])
    store.sync(pod(1), dual(2))
    assert [row.addressType for row in store.slices.values()] == ["IPv6"]


def test_the_endpoints_object_has_the_primary_family() -> None:
    found = subsets(service(ipFamilies=["IPv6", "IPv4"]), [pod(1), dual(2)])
    assert [[row["ip"] for row in part["addresses"]] for part in found] == [["fd00:10:244::2"]]


def test_one_pod_that_changes_changes_one_slice_in_place() -> None:
    store = Store(service())
    pods = [pod(number) for number in range(1, 151)]
    store.sync(*pods)
    assert store.sizes() == [100, 50]
    changes = store.sync(*pods[:20], pod(21, ready=False), *pods[21:])
    assert [len(part) for part in changes] == [0, 1, 0]
    before = {name: row for name, row in store.slices.items() if name != changes.update[0].slice.name}
    assert all(store.slices[name] is row for name, row in before.items())


def test_new_endpoints_fill_what_changes_anyway_then_what_has_room_then_new_slices() -> None:
    store = Store(service())
    pods = [pod(number) for number in range(1, 131)]
    store.sync(*pods)
    assert store.sizes() == [100, 30]
    # one of the full slice goes, two come: that slice takes one, the other slice the second
    changes = store.sync(*pods[1:], pod(201), pod(202))
    assert store.sizes() == [100, 31]
    assert [len(part) for part in changes] == [0, 2, 0]
    store.sync(*pods[1:], *(pod(number) for number in range(201, 254)))
    assert sorted(store.sizes()) == [82, 100]


def test_a_rollout_that_moves_the_named_port_has_both() -> None:
    store = Store(service())
    store.sync(pod(1), pod(2, port=9090))
    assert sorted(row.ports[0].port or 0 for row in store.slices.values()) == [8080, 9090]
    store.sync(pod(2, port=9090))
    assert [row.ports[0].port for row in store.slices.values()] == [9090]


def test_labels_of_the_service_follow() -> None:
    store = Store(service())
    store.sync(pod(1))
    store.service = msgspec.convert(
        {
            "metadata": {"name": "web", "namespace": "default", "labels": {"team": "b"}},
            "spec": {"selector": {"a": "b"}},
        },
        Service,
    )
    store.service = msgspec.structs.replace(store.service, spec=service().spec)
    store.sync(pod(1))
    assert next(iter(store.slices.values())).metadata.labels["team"] == "b"


def test_the_endpoints_object_says_the_same_the_old_way() -> None:
    found = subsets(service(), [pod(2), pod(1), pod(3, ready=False), pod(4, deleting=True)])
    assert [[row["ip"] for row in part.get("addresses", [])] for part in found] == [["10.244.0.1", "10.244.0.2"]]
    assert [row["ip"] for row in found[0]["notReadyAddresses"]] == ["10.244.0.3"]
    assert found[0]["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


def test_pods_with_other_ports_make_another_subset() -> None:
    two = service(
        ports=[{"name": "http", "port": 80, "targetPort": "http"}, {"name": "m", "port": 90, "targetPort": 9}]
    )
    found = subsets(two, [pod(1), pod(2, port=9090)])
    assert [([row["ip"] for row in part["addresses"]], [row["port"] for row in part["ports"]]) for part in found] == [
        (["10.244.0.1"], [8080]),
        (["10.244.0.1", "10.244.0.2"], [9]),
        (["10.244.0.2"], [9090]),
    ]


def test_endpoints_that_are_right_are_not_written() -> None:
    subject = service()
    body = endpoints_body(subject, None, subsets(subject, [pod(1)]), over_capacity=False)
    assert body is not None
    current = msgspec.convert(body, Endpoints)
    assert endpoints_body(subject, current, subsets(subject, [pod(1)]), over_capacity=False) is None
    changed = endpoints_body(subject, current, subsets(subject, []), over_capacity=False)
    assert changed is not None
    assert changed["subsets"] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(1, 250), max_size=250), max_size=5), st.integers(0, 9))
def test_whatever_happens_every_pod_is_in_one_slice_and_a_second_pass_changes_nothing(
    steps: list[set[int]], unready: int
) -> None:
    store = Store(service())
    for step in steps:
        store.sync(*(pod(number, ready=number % 10 != unready) for number in sorted(step)))
        found = [endpoint.addresses[0] for row in store.slices.values() for endpoint in row.endpoints]
        assert sorted(found) == sorted(f"10.244.0.{number}" for number in step)
        assert max(store.sizes()) <= 100
