"""Every line of the Kubernetes DNS specification, version 1.1.0, as questions and answers; then what it leaves open.

https://github.com/kubernetes/dns/blob/master/docs/specification.md; where it leaves a choice, CoreDNS's is meant.
"""

import pytest

from knet.api.objects import Meta, Namespace, ServicePort
from knet.dns.directory import Directory
from knet.dns.zone import NODATA, NXDOMAIN, Srv, Zone, name_of
from tests.cluster_objects import endpoint, endpoint_slice, service

DB_PORTS = [ServicePort(name="sql", port=5432), ServicePort(name="stats", port=9187)]
DB_SLICE_PORTS = [("sql", 5432, "TCP"), ("stats", 9187, "TCP")]
BOTH = [ServicePort(name="dns", port=53, protocol="UDP"), ServicePort(name="dns-tcp", port=53)]


def alias(name, target):
    return service(name, "", (), type="ExternalName", externalName=target)


SERVICES = [
    service("kubernetes", "10.96.0.1", [ServicePort(name="https", port=443)]),
    service("kube-dns", "10.96.0.10", BOTH, "kube-system"),
    service("unnamed", "10.96.0.3", [ServicePort(port=80)]),
    service("web", "10.96.0.80"),
    service("six", "fd00:10:96::6"),
    service("dual", "10.96.0.4", more_ips=("fd00:10:96::4",)),
    service("db", "None", DB_PORTS),
    service("both", "None"),
    service("portless", "None", ()),
    service("idle", "None", DB_PORTS),
    service("waiting", "None", DB_PORTS),
    alias("alias", "Web.default.svc.cluster.local."),
    alias("chain", "alias.default.svc.cluster.local"),
    alias("outside", "example.com"),
    alias("broken", "nothing.default.svc.cluster.local"),
    alias("ouro", "boros.default.svc.cluster.local"),
    alias("boros", "ouro.default.svc.cluster.local"),
    alias("address", "192.0.2.1"),
    alias("endless", "x" * 64 + ".example.com"),
]
SLICES = [
    endpoint_slice("web", "10.244.1.2", endpoint("10.244.1.7", hostname="seven")),
    endpoint_slice(
        "db",
        endpoint("10.244.1.3", hostname="db-0"),
        endpoint("10.244.2.3", hostname="db-1"),
        "10.244.2.4",
        endpoint("10.244.2.5", ready=False, hostname="db-2"),
        ports=DB_SLICE_PORTS,
    ),
    endpoint_slice("both", "10.244.1.8", endpoint("10.244.1.9", hostname="twin")),
    endpoint_slice("both", "fd00:1::8", endpoint("fd00:1::9", hostname="twin"), "fd00:2::", suffix="b", family="IPv6"),
    endpoint_slice("both", "pods.example.com", suffix="c", family="FQDN"),
    endpoint_slice("portless", "10.244.1.20", ports=()),
    endpoint_slice("waiting", endpoint("10.244.1.30", ready=False), ports=DB_SLICE_PORTS),
    endpoint_slice("gone", "10.244.1.40"),
]
NAMESPACES = [Namespace(metadata=Meta(name=name)) for name in ("default", "kube-system", "empty")]
ZONE = Zone(Directory(SERVICES, SLICES, NAMESPACES), "cluster.local")
SVC = "default.svc.cluster.local"


def reverse(address):
    """The name of an IPv6 address, written in full: 1.0.…ip6.arpa."""
    return ".".join(reversed(address.replace(":", ""))) + ".ip6.arpa"


def lookup(name, kind="A"):
    return ZONE.lookup(name_of(name), kind)


def written(record):
    """A record as in a zone file, the zone left out: ``web.default.svc A 10.96.0.80``."""
    match record.data:
        case Srv(priority, weight, port, target):
            data = f"{priority} {weight} {port} {'.'.join(target)}"
        case str(text):
            data = text
        case name:
            data = ".".join(name)
    return f"{'.'.join(record.name)} {record.type} {data}".replace(".cluster.local", "")


SPECIFICATION = [
    ("2.1 comparisons are case-insensitive", "KuberNetes.DEFAULT.svc.cluster.LOCAL. A",
     ["kubernetes.default.svc A 10.96.0.1"]),
    ("2.2 schema version", "dns-version.cluster.local TXT", ["dns-version TXT 1.1.0"]),
    ("2.3.1 ClusterIP, A", f"kubernetes.{SVC} A", ["kubernetes.default.svc A 10.96.0.1"]),
    ("2.3.1 ClusterIP, AAAA", f"six.{SVC} AAAA", ["six.default.svc AAAA fd00:10:96::6"]),
    ("2.3.1 dual-stack, A", f"dual.{SVC} A", ["dual.default.svc A 10.96.0.4"]),
    ("2.3.1 dual-stack, AAAA", f"dual.{SVC} AAAA", ["dual.default.svc AAAA fd00:10:96::4"]),
    ("2.3.2 named port", f"_https._tcp.kubernetes.{SVC} SRV",
     ["_https._tcp.kubernetes.default.svc SRV 0 100 443 kubernetes.default.svc",
      "+kubernetes.default.svc A 10.96.0.1"]),
    ("2.3.2 one number, two protocols", "_dns._udp.kube-dns.kube-system.svc.cluster.local SRV",
     ["_dns._udp.kube-dns.kube-system.svc SRV 0 100 53 kube-dns.kube-system.svc",
      "+kube-dns.kube-system.svc A 10.96.0.10"]),
    ("2.3.2 dual-stack: one target with two addresses", f"_http._tcp.dual.{SVC} SRV",
     ["_http._tcp.dual.default.svc SRV 0 50 80 dual.default.svc", "+dual.default.svc A 10.96.0.4",
      "+dual.default.svc AAAA fd00:10:96::4"]),
    ("2.3.2 unnamed ports have none", f"_._tcp.unnamed.{SVC} SRV", "NXDOMAIN"),
    ("2.3.3 PTR", "1.0.96.10.in-addr.arpa PTR", ["1.0.96.10.in-addr.arpa PTR kubernetes.default.svc"]),
    ("2.3.3 PTR of IPv6", reverse("fd00:0010:0096:0000:0000:0000:0000:0004") + " PTR",
     [reverse("fd00:0010:0096:0000:0000:0000:0000:0004") + " PTR dual.default.svc"]),
    ("2.4.1 headless, A: the ready ones", f"db.{SVC} A",
     ["db.default.svc A 10.244.1.3", "db.default.svc A 10.244.2.3", "db.default.svc A 10.244.2.4"]),
    ("2.4.1 headless, AAAA", f"both.{SVC} AAAA",
     ["both.default.svc AAAA fd00:1::8", "both.default.svc AAAA fd00:1::9", "both.default.svc AAAA fd00:2::"]),
    ("2.4.1 headless without slices", f"idle.{SVC} A", "NXDOMAIN"),
    ("2.4.1 headless, nothing ready", f"waiting.{SVC} A", "NXDOMAIN"),
    ("2.4.1 hostname, A", f"db-1.db.{SVC} A", ["db-1.db.default.svc A 10.244.2.3"]),
    ("2.4.1 hostname, AAAA", f"twin.both.{SVC} AAAA", ["twin.both.default.svc AAAA fd00:1::9"]),
    ("2.4.1 identifier, A", f"10-244-2-4.db.{SVC} A", ["10-244-2-4.db.default.svc A 10.244.2.4"]),
    ("2.4.1 identifier, AAAA", f"fd00-1--8.both.{SVC} AAAA", ["fd00-1--8.both.default.svc AAAA fd00:1::8"]),
    ("2.4.1 identifier that would end in a dash", f"fd00-2--0.both.{SVC} AAAA",
     ["fd00-2--0.both.default.svc AAAA fd00:2::"]),
    ("2.4.2 named port, once for each endpoint", f"_sql._tcp.db.{SVC} SRV",
     ["_sql._tcp.db.default.svc SRV 0 33 5432 db-0.db.default.svc",
      "_sql._tcp.db.default.svc SRV 0 33 5432 db-1.db.default.svc",
      "_sql._tcp.db.default.svc SRV 0 33 5432 10-244-2-4.db.default.svc",
      "+db-0.db.default.svc A 10.244.1.3", "+db-1.db.default.svc A 10.244.2.3",
      "+10-244-2-4.db.default.svc A 10.244.2.4"]),
    ("2.4.2 one hostname in both families", f"_http._tcp.twin.both.{SVC} SRV", "NXDOMAIN"),
    ("2.4.3 PTR by hostname", "3.1.244.10.in-addr.arpa PTR", ["3.1.244.10.in-addr.arpa PTR db-0.db.default.svc"]),
    ("2.4.3 PTR by identifier", "4.2.244.10.in-addr.arpa PTR",
     ["4.2.244.10.in-addr.arpa PTR 10-244-2-4.db.default.svc"]),
    ("2.4.3 PTR of IPv6", reverse("fd00:0001:0000:0000:0000:0000:0000:0009") + " PTR",
     [reverse("fd00:0001:0000:0000:0000:0000:0000:0009") + " PTR twin.both.default.svc"]),
    ("2.4.3 not ready", "5.2.244.10.in-addr.arpa PTR", None),
    ("2.5 external name", f"outside.{SVC} CNAME", ["outside.default.svc CNAME example.com"]),
    ("2.5 external name, A", f"outside.{SVC} A", ["outside.default.svc CNAME example.com", "→example.com"]),
    ("2.5 external name, AAAA", f"outside.{SVC} AAAA", ["outside.default.svc CNAME example.com", "→example.com"]),
]  # fmt: skip

COREDNS = [
    ("all ports of a Service, named or not", f"unnamed.{SVC} SRV",
     ["unnamed.default.svc SRV 0 100 80 unnamed.default.svc", "+unnamed.default.svc A 10.96.0.3"]),
    ("all ports of an endpoint", f"db-0.db.{SVC} SRV",
     ["db-0.db.default.svc SRV 0 50 5432 db-0.db.default.svc", "db-0.db.default.svc SRV 0 50 9187 db-0.db.default.svc",
      "+db-0.db.default.svc A 10.244.1.3"]),
    ("a hostname that two endpoints have is one target", f"twin.both.{SVC} SRV",
     ["twin.both.default.svc SRV 0 50 8080 twin.both.default.svc", "+twin.both.default.svc A 10.244.1.9",
      "+twin.both.default.svc AAAA fd00:1::9"]),
    ("headless without ports", f"portless.{SVC} A", ["portless.default.svc A 10.244.1.20"]),
    ("… no SRV", f"portless.{SVC} SRV", "NODATA"),
    ("an endpoint behind a virtual address", f"10-244-1-2.web.{SVC} A", ["10-244-1-2.web.default.svc A 10.244.1.2"]),
    ("… by its hostname", f"seven.web.{SVC} A", ["seven.web.default.svc A 10.244.1.7"]),
    ("… and back", "2.1.244.10.in-addr.arpa PTR", ["2.1.244.10.in-addr.arpa PTR 10-244-1-2.web.default.svc"]),
    ("pods insecure", "10-244-1-2.default.pod.cluster.local A", ["10-244-1-2.default.pod A 10.244.1.2"]),
    ("… IPv6", "fd00--7.default.pod.cluster.local AAAA", ["fd00--7.default.pod AAAA fd00::7"]),
    ("… in a namespace that is not there", "10-244-1-2.nowhere.pod.cluster.local A", "NXDOMAIN"),
    ("… no address", "web.default.pod.cluster.local A", "NXDOMAIN"),
    ("… cut short", "10-244-1.default.pod.cluster.local A", "NXDOMAIN"),
    ("name server", "cluster.local NS",
     ["cluster.local NS kube-dns.kube-system.svc", "+kube-dns.kube-system.svc A 10.96.0.10"]),
    ("the name server's name in the SOA", "ns.dns.cluster.local A", ["ns.dns A 10.96.0.10"]),
    ("SOA", "cluster.local SOA", ["cluster.local SOA "]),
    ("an ExternalName that is an address", f"address.{SVC} A", "NXDOMAIN"),
    ("an ExternalName that DNS has no room for", f"endless.{SVC} A", "NXDOMAIN"),
    ("an alias into the cluster", f"alias.{SVC} A",
     ["alias.default.svc CNAME web.default.svc", "web.default.svc A 10.96.0.80"]),
    ("two of them", f"chain.{SVC} A",
     ["chain.default.svc CNAME alias.default.svc", "alias.default.svc CNAME web.default.svc",
      "web.default.svc A 10.96.0.80"]),
    ("below an ExternalName", f"x.alias.{SVC} CNAME", "NXDOMAIN"),
    ("a namespace", f"{SVC} A", "NODATA"),
    ("a namespace without Services", "empty.svc.cluster.local A", "NODATA"),
    ("… of pods", "empty.pod.cluster.local A", "NODATA"),
    ("no namespace", "nowhere.svc.cluster.local A", "NXDOMAIN"),
    ("… of pods", "nowhere.pod.cluster.local A", "NXDOMAIN"),
    ("the zone itself", "cluster.local A", "NODATA"),
    ("svc", "svc.cluster.local A", "NODATA"),
    ("pod", "pod.cluster.local NS", "NODATA"),
    ("anything else in the zone", "web.cluster.local NS", "NXDOMAIN"),
    ("no Service", f"nothing.{SVC} A", "NXDOMAIN"),
    ("no such endpoint", f"db-9.db.{SVC} A", "NXDOMAIN"),
    ("an endpoint that is not ready", f"db-2.db.{SVC} A", "NXDOMAIN"),
    ("an endpoint of no Service", f"x.nothing.{SVC} A", "NXDOMAIN"),
    ("slices without their Service", f"gone.{SVC} A", "NXDOMAIN"),
    ("no wildcards", f"*.{SVC} A", "NXDOMAIN"),
    ("… neither", f"any.{SVC} A", "NXDOMAIN"),
    ("… nor in ports", f"_*._tcp.kubernetes.{SVC} SRV", "NXDOMAIN"),
    ("too many labels", f"a.b.c.kubernetes.{SVC} A", "NXDOMAIN"),
    ("the search path once too often", f"kubernetes.{SVC}.{SVC} A", "NXDOMAIN"),
    ("no such port", f"_http._tcp.kubernetes.{SVC} SRV", "NXDOMAIN"),
    ("… by that protocol", f"_https._udp.kubernetes.{SVC} SRV", "NXDOMAIN"),
    ("another type: AAAA", f"kubernetes.{SVC} AAAA", "NODATA"),
    ("another type: MX", f"kubernetes.{SVC} MX", "NODATA"),
    ("another type: TXT", f"kubernetes.{SVC} TXT", "NODATA"),
    ("another type: HTTPS", f"kubernetes.{SVC} HTTPS", "NODATA"),
    ("another type: CNAME", f"kubernetes.{SVC} CNAME", "NODATA"),
    ("another type: ANY", f"kubernetes.{SVC} ANY", "NODATA"),
    ("another type of no Service", f"nothing.{SVC} TXT", "NXDOMAIN"),
    ("another type: version", "dns-version.cluster.local A", "NODATA"),
    ("another type: pods", "10-244-1-2.default.pod.cluster.local AAAA", "NODATA"),
    ("names of others", "example.com A", None),
    ("… that end alike", "xcluster.local A", None),
    ("… above the zone", "local A", None),
    ("… above all", " A", None),
    ("… an address that nobody has", "9.9.9.9.in-addr.arpa PTR", None),
    ("… half an address", "0.96.10.in-addr.arpa PTR", None),
    ("… no address", "x.y.in-addr.arpa PTR", None),
    ("… no nibbles", "x" + reverse("fd00:0001:0000:0000:0000:0000:0000:0009")[1:] + " PTR", None),
]  # fmt: skip

OF_OUR_OWN = [
    ("between a Service and its ports (RFC 8020)", f"_tcp.kubernetes.{SVC} SRV", "NODATA"),
    ("… of another protocol", f"_udp.kubernetes.{SVC} SRV", "NXDOMAIN"),
    ("above the name server", "dns.cluster.local A", "NODATA"),
    ("the name of a port has no address", f"_https._tcp.kubernetes.{SVC} A", "NODATA"),
    ("… and underscores", f"https.tcp.kubernetes.{SVC} SRV", "NXDOMAIN"),
    ("nothing stands below a pod's name", "a.10-244-1-2.default.pod.cluster.local A", "NXDOMAIN"),
    ("another type: PTR", "1.0.96.10.in-addr.arpa A", "NODATA"),
    ("an alias of what has no such address", f"alias.{SVC} AAAA", ["alias.default.svc CNAME web.default.svc"]),
    ("an alias of nothing (RFC 6604)", f"broken.{SVC} A",
     ["NXDOMAIN", "broken.default.svc CNAME nothing.default.svc"]),
    ("aliases that go round", f"ouro.{SVC} A",
     ["ouro.default.svc CNAME boros.default.svc", "boros.default.svc CNAME ouro.default.svc"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in (*SPECIFICATION, *COREDNS, *OF_OUR_OWN)],
)
def test_questions_and_answers(question, expected):
    """``expected``: records, "+" before additional ones and "→" before a name that others know; None: not our name."""
    name, kind = question.split(" ")
    found = lookup(name, kind)
    if expected is None or isinstance(expected, str):
        assert found == {None: None, "NXDOMAIN": NXDOMAIN, "NODATA": NODATA}[expected]
        return
    lines = [] if found.exists else ["NXDOMAIN"]
    lines += [written(record) for record in found.records]
    lines += [f"+{written(record)}" for record in found.additional]
    assert lines + ([f"→{'.'.join(found.unresolved)}"] if found.unresolved else []) == expected


def test_a_dot_within_a_label_is_no_boundary():
    assert ZONE.lookup(("kubernetes.default", "svc", "cluster", "local"), "A") == NXDOMAIN


def test_many_endpoints_share_a_weight_of_at_least_one():
    slices = [endpoint_slice("db", *(f"10.244.1.{n}" for n in range(2, 202)), ports=DB_SLICE_PORTS)]
    zone = Zone(Directory([service("db", "None", DB_PORTS)], slices), "cluster.local")
    assert {row.data.weight for row in zone.lookup(name_of(f"_sql._tcp.db.{SVC}"), "SRV").records} == {1}


def test_an_endpoint_of_several_services_has_a_name_in_each():
    slices = [endpoint_slice(name, "10.244.1.2") for name in ("web", "canary")]
    zone = Zone(Directory([service("web"), service("canary", "10.96.0.81")], slices), "cluster.local")
    found = zone.lookup(name_of("2.1.244.10.in-addr.arpa"), "PTR")
    assert {".".join(row.data[:2]) for row in found.records} == {"10-244-1-2.web", "10-244-1-2.canary"}


def test_unready_addresses_that_are_published_are_ready_ones_in_their_slice():
    """publishNotReadyAddresses is the slice controller's to see to; unknown conditions mean ready (KEP-752)."""
    slices = [
        endpoint_slice("db", endpoint("10.244.1.2", ready=True, serving=False), endpoint("10.244.1.3", ready=None))
    ]
    zone = Zone(Directory([service("db", "None", publishNotReadyAddresses=True)], slices), "cluster.local")
    assert len(zone.lookup(name_of(f"db.{SVC}"), "A").records) == 2


def test_a_slice_by_hand_may_write_an_address_in_its_own_way():
    slices = [endpoint_slice("db", "FD00:1:0::9", family="IPv6")]
    zone = Zone(Directory([service("db", "None")], slices), "cluster.local")
    assert zone.lookup(name_of(reverse("fd00:0001:0000:0000:0000:0000:0000:0009")), "PTR").records
    assert zone.lookup(name_of(f"fd00-1--9.db.{SVC}"), "AAAA").records


def test_a_zone_of_another_name():
    zone = Zone(Directory([service("web", "10.96.0.80")]), "k8s.example.org.")
    assert zone.lookup(name_of("web.default.svc.k8s.example.org"), "A").records
    assert zone.lookup(name_of(f"web.{SVC}"), "A") is None
