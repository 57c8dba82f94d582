"""Which records follow from Services and EndpointSlices, and which names exist without any."""

import pytest

from knet.api.objects import ServicePort
from knet.dns.directory import Directory
from knet.dns.zone import NODATA, NXDOMAIN, Record, Srv, Zone, name_of
from tests.cluster_objects import endpoint, endpoint_slice, service

DB_PORTS = [ServicePort(name="sql", port=5432), ServicePort(name="stats", port=9187)]
DB_SLICE_PORTS = [("sql", 5432, "TCP"), ("stats", 9187, "TCP")]
SERVICES = [
    service("kubernetes", "10.96.0.1", [ServicePort(name="https", port=443)]),
    service("kube-dns", "10.96.0.10", [ServicePort(name="dns", port=53, protocol="UDP")], "kube-system"),
    service("unnamed", "10.96.0.3", [ServicePort(port=80)]),
    service("web", "10.96.0.80"),
    service("db", "None", DB_PORTS),
    service("idle", "None", DB_PORTS),
    service("alias", "", (), type="ExternalName", externalName="Web.default.svc.cluster.local."),
    service("chain", "", (), type="ExternalName", externalName="alias.default.svc.cluster.local"),
    service("outside", "", (), type="ExternalName", externalName="example.com"),
    service("broken", "", (), type="ExternalName", externalName="nothing.default.svc.cluster.local"),
    service("ouro", "", (), type="ExternalName", externalName="boros.default.svc.cluster.local"),
    service("boros", "", (), type="ExternalName", externalName="ouro.default.svc.cluster.local"),
]
SLICES = [
    endpoint_slice("web", "10.244.1.2"),
    endpoint_slice(
        "db",
        endpoint("10.244.1.3", hostname="db-0"),
        endpoint("10.244.2.3", hostname="db-1"),
        "10.244.2.4",
        endpoint("10.244.2.5", ready=False, hostname="db-2"),
        ports=DB_SLICE_PORTS,
    ),
]
ZONE = Zone(Directory(SERVICES, SLICES), "cluster.local")
SVC = "default.svc.cluster.local"


def lookup(name, kind="A"):
    return ZONE.lookup(name_of(name), kind)


def data(name, kind="A"):
    """The data of the records, names joined by dots again."""
    return [".".join(row.data) if isinstance(row.data, tuple) and not isinstance(row.data, Srv) else row.data
            for row in lookup(name, kind).records]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (f"kubernetes.{SVC}", "A", ["10.96.0.1"]),
        ("KUBERNETES.Default.SVC.cluster.LOCAL.", "A", ["10.96.0.1"]),
        (f"db.{SVC}", "A", ["10.244.1.3", "10.244.2.3", "10.244.2.4"]),
        (f"db-1.db.{SVC}", "A", ["10.244.2.3"]),
        (f"10-244-2-4.db.{SVC}", "A", ["10.244.2.4"]),
        ("10-244-1-2.default.pod.cluster.local", "A", ["10.244.1.2"]),
        ("fd00--7.default.pod.cluster.local", "AAAA", ["fd00::7"]),
        ("ns.dns.cluster.local", "A", ["10.96.0.10"]),
        ("cluster.local", "NS", ["ns.dns.cluster.local"]),
        ("dns-version.cluster.local", "TXT", ["1.1.0"]),
        ("1.0.96.10.in-addr.arpa", "PTR", [f"kubernetes.{SVC}"]),
        ("3.1.244.10.in-addr.arpa", "PTR", [f"db-0.db.{SVC}"]),
        ("4.2.244.10.in-addr.arpa", "PTR", [f"10-244-2-4.db.{SVC}"]),
        (f"outside.{SVC}", "CNAME", ["example.com"]),
    ],
)
def test_records(name, kind, expected):
    assert data(name, kind) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"kubernetes.{SVC}", "AAAA"),
        (f"kubernetes.{SVC}", "MX"),
        (f"kubernetes.{SVC}", "HTTPS"),
        (f"idle.{SVC}", "A"),
        (f"unnamed.{SVC}", "AAAA"),
        (f"_https._tcp.kubernetes.{SVC}", "A"),
        (f"_tcp.kubernetes.{SVC}", "SRV"),
        (SVC, "A"),
        ("svc.cluster.local", "A"),
        ("cluster.local", "A"),
        ("default.pod.cluster.local", "A"),
        ("10-244-1-2.default.pod.cluster.local", "AAAA"),
        ("dns-version.cluster.local", "A"),
        ("1.0.96.10.in-addr.arpa", "A"),
    ],
)
def test_names_that_exist_without_such_records(name, kind):
    assert lookup(name, kind) == NODATA


@pytest.mark.parametrize(
    "name",
    [
        f"nothing.{SVC}",
        "kubernetes.nowhere.svc.cluster.local",
        "nowhere.svc.cluster.local",
        "web.cluster.local",
        f"db-2.db.{SVC}",
        f"db-9.db.{SVC}",
        f"web-0.web.{SVC}",
        f"10-244-1-2.web.{SVC}",
        f"a.b.c.kubernetes.{SVC}",
        f"_http._tcp.kubernetes.{SVC}",
        f"_https._udp.kubernetes.{SVC}",
        f"_udp.kubernetes.{SVC}",
        f"_._tcp.unnamed.{SVC}",
        f"x.alias.{SVC}",
        "10-244-1.default.pod.cluster.local",
        "web.default.pod.cluster.local",
        "a.10-244-1-2.default.pod.cluster.local",
        f"kubernetes.{SVC}.{SVC}",
        "dns-version.dns.cluster.local",
    ],
)
def test_names_that_do_not_exist(name):
    for kind in ("A", "SRV"):
        assert lookup(name, kind) == NXDOMAIN


@pytest.mark.parametrize(
    "name",
    ["example.com", "local", "", "xcluster.local", "9.9.9.9.in-addr.arpa", "0.96.10.in-addr.arpa", "x.y.in-addr.arpa",
     "5.2.244.10.in-addr.arpa", "2.1.244.10.in-addr.arpa", "ip6.arpa"],
)  # fmt: skip
def test_names_that_are_not_ours(name):
    assert lookup(name, "PTR") is None


def test_a_dot_within_a_label_is_no_boundary():
    assert ZONE.lookup(("kubernetes.default", "svc", "cluster", "local"), "A") == NXDOMAIN


def test_srv_of_a_virtual_address_names_the_service():
    found = lookup(f"_https._tcp.kubernetes.{SVC}", "SRV")
    own = name_of(f"kubernetes.{SVC}")
    assert found.records == (Record(name_of(f"_https._tcp.kubernetes.{SVC}"), "SRV", Srv(0, 100, 443, own)),)
    assert found.additional == (Record(own, "A", "10.96.0.1"),)


def test_srv_of_a_headless_service_names_each_endpoint():
    found = lookup(f"_sql._tcp.db.{SVC}", "SRV")
    assert [row.data for row in found.records] == [
        Srv(0, 33, 5432, name_of(f"{host}.db.{SVC}")) for host in ("db-0", "db-1", "10-244-2-4")
    ]
    assert [row.data for row in found.additional] == ["10.244.1.3", "10.244.2.3", "10.244.2.4"]


def test_srv_of_a_service_itself_lists_all_of_its_ports():
    assert {row.data.port for row in lookup(f"db.{SVC}", "SRV").records} == {5432, 9187}
    assert [row.data.port for row in lookup(f"unnamed.{SVC}", "SRV").records] == [80]


def test_many_endpoints_share_a_weight_of_at_least_one():
    slices = [endpoint_slice("db", *(f"10.244.1.{n}" for n in range(2, 202)), ports=DB_SLICE_PORTS)]
    zone = Zone(Directory([service("db", "None", DB_PORTS)], slices), "cluster.local")
    assert {row.data.weight for row in zone.lookup(name_of(f"_sql._tcp.db.{SVC}"), "SRV").records} == {1}


@pytest.mark.parametrize(
    ("name", "kind", "types", "unresolved"),
    [
        (f"alias.{SVC}", "A", ["CNAME", "A"], None),
        (f"chain.{SVC}", "A", ["CNAME", "CNAME", "A"], None),
        (f"alias.{SVC}", "AAAA", ["CNAME"], None),
        (f"broken.{SVC}", "A", ["CNAME"], None),
        (f"outside.{SVC}", "A", ["CNAME"], ("example", "com")),
        (f"outside.{SVC}", "CNAME", ["CNAME"], None),
        (f"ouro.{SVC}", "A", ["CNAME", "CNAME"], None),
    ],
)
def test_aliases(name, kind, types, unresolved):
    found = lookup(name, kind)
    assert [row.type for row in found.records] == types
    assert found.unresolved == unresolved


def test_both_families():
    both = service("dual", "10.96.0.4", more_ips=("fd00::4",))
    zone = Zone(Directory([both]), "cluster.local")
    assert [row.data for row in zone.lookup(name_of(f"dual.{SVC}"), "AAAA").records] == ["fd00::4"]
    reverse = "4" + ".0" * 28 + ".0.d.f.ip6.arpa"
    assert len(zone.lookup(name_of(reverse), "PTR").records) == 1


def test_a_zone_of_another_name():
    zone = Zone(Directory([service("web", "10.96.0.80")]), "k8s.example.org.")
    assert zone.lookup(name_of("web.default.svc.k8s.example.org"), "A").records
    assert zone.lookup(name_of(f"web.{SVC}"), "A") is None
