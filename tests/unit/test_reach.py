"""Who is asked about whom, what counts as agreement, which ends are alike, and how all that reads."""

import struct
from dataclasses import replace

import msgspec
import pytest
from inspect_cluster import INVENTORY
from worlds import pod, world

from knet.api.families import IPV4, IPV6
from knet.api.objects import OwnerReference, ServicePort
from knet.errors import KnetError
from knet.inspect.inventory import POD, Inventory, Spot
from knet.inspect.predict.verdicts import verdict
from knet.inspect.reach import basic
from knet.inspect.reach.ends import Wish, choose
from knet.inspect.reach.matrix import BY_CHANCE, DIFFERS, NO_WAY, REACHED, Pair, Reach
from knet.inspect.reach.measure import patience
from knet.inspect.reach.probes import (
    ANSWERED,
    ARRIVED,
    PROTOCOLS,
    REFUSED,
    UNREACHABLE,
    Heard,
    checksum,
    read,
    read_error,
)
from knet.inspect.reach.rounds import Observation
from knet.inspect.reach.why import why
from knet.inspect.world import Topology
from knet.policy.population import NarrowPod
from knet.underlay.state import LinkState, Sending
from tests.cluster_objects import endpoint_slice, service


def of(controller, found):
    """A pod that belongs to a ReplicaSet."""
    owner = OwnerReference(apiVersion="apps/v1", kind="ReplicaSet", name=controller, uid="1", controller=True)
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, ownerReferences=(owner,)))


WEBS = [of("web-6c9f", pod(f"web-6c9f-{row}", f"10.244.{row}.5", labels={"app": "web"})) for row in (1, 2)]
DB, CLIENT = pod("db", "10.244.2.7"), pod("client", "10.244.1.8")
DENY = {
    "metadata": {"name": "db", "namespace": "default"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
    },
}
DNS = ServicePort(name="dns", port=53, protocol="UDP")
SERVICES = [
    service("web", ip="10.96.0.80"),
    service("empty", ip="10.96.0.81", ports=[ServicePort(port=8080), DNS]),
    service("headless", ip="None"),
]
ADDRESSES = [row.status.podIP for row in WEBS]
WORLD = world([*WEBS, DB, CLIENT], SERVICES, [endpoint_slice("web", *ADDRESSES)], [DENY])


def measured(wish=Wish(), found=WORLD, otherwise=()):
    """All pairs as they are predicted but for those, by the names of their ends."""
    ends = choose(found, INVENTORY, wish)
    pairs = []
    for a in ends.sources:
        for b in ends.destinations:
            if a != b:
                guess = verdict(found, a.owner, b.address, b.port, wish.protocol)
                different = (str(a), str(b)) in otherwise
                seen = Observation(tries=1, answer=Heard(0, ANSWERED, "") if guess.reached != different else None)
                reason = why(found, a, b, wish.protocol) if different and guess.reached else ""
                pairs.append(Pair(a, b, guess, seen, reason))
    return Reach(ends, pairs, wish.what, 0.25)


HEALTHY = """\
                           1  2  3  4  5  6  7  8
1  default/client          -  x  .  .  .  .  x  .
2  default/db              .  -  .  .  .  .  x  .
3  default/web-6c9f-* (2)  .  .  .  .  .  .  x  .
4  cp1, client             x  x  x  .  .  .  x  x
5  n1                      .  x  .  .  -  .  x  .
6  n2                      .  .  .  .  .  -  x  .
7  svc/default/empty:8080
8  svc/default/web:80

x  1 5 → 2   ingress is not allowed by NetworkPolicy default/db
x  1 2 3 5 6 → 7   Service default/empty has no endpoints
x  4 → 1 2 3 7 8   nobody behind cp1-eth0 of cp1 has that address
x  4 → 1 2 3 7 8   client has no route to it

72 pairs, tcp/80:  . 52 reached  x 20 no way  ! 0 differs   (0.2 s)"""
BROKEN = """\
!  default/client → default/db
     predicted   no way: ingress is not allowed by NetworkPolicy default/db
     observed    answered
     look        knet trace pod/client pod/db:80
!  default/client → default/web-6c9f-2, and 2 more from n1 to n2
     predicted   reached, by n1 route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink (Node n2 podCIDR) › \
n2 route 10.244.2.0/24 dev cni0 src 10.244.2.1 (Node n2 podCIDR)
     observed    dropped: nothing arrived (1 try)
     look        knet trace pod/client pod/web-6c9f-2:80

                                       1  2  3  4  5  6  7  8
1  default/client, default/web-6c9f-1  .  !  !  .  .  .  x  .
2  default/db                          .  -  .  .  .  .  x  .
3  default/web-6c9f-2                  .  .  -  .  .  .  x  .
4  cp1, client                         x  x  x  .  .  .  x  x
5  n1                                  .  x  .  .  -  .  x  .
6  n2                                  .  .  .  .  .  -  x  .
7  svc/default/empty:8080
8  svc/default/web:80

x  1 2 3 5 6 → 7   Service default/empty has no endpoints
x  4 → 1 2 3 7 8   nobody behind cp1-eth0 of cp1 has that address
x  5 → 2   ingress is not allowed by NetworkPolicy default/db
x  4 → 1 2 3 7 8   client has no route to it

72 pairs, tcp/80:  . 49 reached  x 19 no way  ! 4 differs   (0.2 s)"""


def test_the_matrix_has_ends_that_are_alike_as_one_and_says_why_there_is_no_way():
    assert str(measured()) == HEALTHY


def test_what_differs_comes_first_and_alike_disagreements_are_one():
    different = {("client", "db"), ("client", "web-6c9f-2"), ("web-6c9f-1", "db"), ("web-6c9f-1", "web-6c9f-2")}
    found = measured(otherwise={(f"default/{a}", f"default/{b}") for a, b in different})
    assert str(found) == BROKEN
    assert [pair["agrees"] for pair in found.json()["pairs"][:5]] == [False] * 4 + [True]


def arrived(**more):
    return Observation(arrived={Spot(POD, "web", "default"): "10.244.1.8"}, tries=2, **more)


SEEN = {
    "answered": (True, arrived(answer=Heard(0, ANSWERED, "10.244.1.5"))),
    "it arrived, nobody listens there": (True, arrived(answer=Heard(0, REFUSED, "10.244.1.5"))),
    "it arrived, port unreachable": (True, arrived(answer=Heard(0, UNREACHABLE, "10.244.1.5", "port unreachable"))),
    "it arrived, as 10.244.1.8": (True, arrived(one_way=True)),
    "it arrived, as 10.244.1.8, but no answer came back": (False, arrived()),
    "dropped: nothing arrived (3 tries)": (False, Observation(tries=3)),
    "reset on the way, in the name of 10.244.1.5": (False, Observation(answer=Heard(0, REFUSED, "10.244.1.5"))),
    "172.18.0.3 says: host unreachable": (
        False,
        Observation(answer=Heard(0, UNREACHABLE, "172.18.0.3", "host unreachable")),
    ),
    "it could not leave: Network is unreachable": (False, Observation(error="Network is unreachable")),
}


@pytest.mark.parametrize("words", SEEN)
def test_what_was_observed(words):
    reached, found = SEEN[words]
    assert (found.reached, str(found)) == (reached, words)


def test_where_chance_chooses_nothing_differs():
    found = measured(Wish(port=80))
    pair = next(row for row in found.pairs if str(row.destination) == "svc/default/web:80")
    for seen in (Observation(), arrived(answer=Heard(0, ANSWERED, ""))):
        some = Pair(pair.source, pair.destination, pair.predicted._replace(some=True), seen)
        assert (some.sign, some.agrees) == (BY_CHANCE, True)
    assert {pair.sign for pair in found.pairs} == {REACHED, NO_WAY}
    assert Pair(pair.source, pair.destination, pair.predicted, Observation()).sign == DIFFERS


PODS = "default/client default/db default/web-6c9f-1 default/web-6c9f-2"
ENDS = {
    "all": (Wish(), f"{PODS} cp1 n1 n2 client", "empty:8080 web:80"),
    "some": (Wish(("n1", "pod/client")), "default/client n1", ""),
    "a port that Services have": (Wish(port=8080), None, "empty:8080 web:80"),
    "a protocol that one has": (Wish(port=53, protocol="udp"), None, "empty:53"),
    "without ports": (Wish(protocol="icmp"), None, ""),
    "without Services": (Wish(services=False), None, ""),
    "Nodes": (Wish(nodes_only=True), f"{PODS} n1 n2", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_who_is_asked_about_whom(name):
    wish, sources, services = ENDS[name]
    found = choose(WORLD, INVENTORY, wish)
    if sources is not None:
        assert [str(end) for end in found.sources] == sources.split()
    if services is not None:
        assert [str(end)[12:] for end in found.destinations if end.spot is None] == services.split()


def test_pods_behind_a_service_are_listened_to_as_well():
    assert choose(WORLD, INVENTORY, Wish(namespace="default")).behind == ()
    behind = [Spot(POD, row.name, row.namespace) for row in WEBS]
    pods = [msgspec.convert(row, NarrowPod, from_attributes=True) for row in WEBS]
    webs = Inventory(pods=pods, members={("service", "default", "web"): behind[:1]})
    found = choose(WORLD, webs, Wish(("svc/web",)))
    assert [str(end) for end in found.destinations] == ["default/web-6c9f-1", "svc/default/web:80"]
    assert found.behind == (behind[1],)


REFUSALS = {
    "there is no namespace called 'defau'; did you mean default?": lambda: choose(WORLD, INVENTORY, Wish((), "defau")),
    "--proto sctp: choose one of tcp, udp, icmp": lambda: Wish(protocol="sctp"),
    "--port 0 is no port: a number from 1 to 65535 is meant": lambda: Wish(port=0),
    "the cluster has no IPv6: bring it up with --ip-family dual": lambda: choose(WORLD, INVENTORY, Wish(family=IPV6)),
    "s1: nothing of that has a network that is up": lambda: choose(WORLD, INVENTORY, Wish(("s1",))),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_asked_is_told_in_one_line(words):
    with pytest.raises(KnetError) as refusal:
        REFUSALS[words]()
    assert str(refusal.value) == words


def test_the_three_requirements_leave_out_what_policies_forbid():
    found = measured(Wish(protocol="icmp", services=False, nodes_only=True))
    rows = basic.requirements(WORLD, found)
    assert [(row.name, len(row.pairs), row.isolated, row.holds) for row in rows] == [
        ("pod–pod on one node", 4, 0, True),
        ("pod–pod across nodes", 7, 1, True),
        ("node–pod", 15, 1, True),
    ]
    assert basic.summary(rows, found) == "3 of 3 requirements hold (30 probes, 0.2 s)"
    translated = found.pairs[1].observed
    translated.arrived[Spot(POD, "web-6c9f-1", "default")] = "172.18.0.3"
    first = basic.requirements(WORLD, found)[0]
    assert [why for _, why in first.broken] == ["seen as 172.18.0.3: translated on the way"]
    assert basic.summary([first], found).startswith("0 of 1 requirements hold")
    assert basic.summary(basic.requirements(WORLD, Reach(found.ends, [], "icmp")), found).startswith(
        "0 of 3 requirements hold, 3 could not be tried"
    )


def linked(**options):
    """Two machines' links with these options at each end."""
    ends = [Sending(name, f"{name}-eth0", options) for name in ("n1", "s1")]
    return replace(WORLD, topology=Topology(links=(LinkState((ends[0], ends[1]), "up", 1500, True),) * 2))


PATIENCE = {
    "free": ({}, (0, 0)),
    "delays": ({"delay": "100ms", "jitter": "10ms"}, (0.48, 0)),
    "losses": ({"loss": 10}, (0, 13)),
    "hardly anything comes through": ({"loss": 90}, (0, 40)),
    "nothing does": ({"loss": 100}, (0, 0)),
}


@pytest.mark.parametrize("name", PATIENCE)
def test_links_are_waited_for(name):
    options, expected = PATIENCE[name]
    assert patience(linked(**options)) == pytest.approx(expected)


# ---- probes --------------------------------------------------------------------------------------------------------

ENDS_OF = {IPV4: ("10.244.1.5", "10.244.2.5"), IPV6: ("fd00::1", "fd00::2")}


@pytest.mark.parametrize("family", ENDS_OF)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_probe_is_recognised_where_it_arrives_and_where_it_is_quoted(name, family):
    protocol, (source, destination) = PROTOCOLS[name], ENDS_OF[family]
    packed = protocol.pack(source, destination, 40000, 80, 0x12345678)
    assert read(protocol, packed, source) == Heard(0x12345678, ARRIVED, source)
    assert protocol.number_at[0] <= len(packed) - 4
    header, unreachable = (b"\x45" + bytes(19), bytes([3, 3])) if family == IPV4 else (bytes(40), bytes([1, 4]))
    message = unreachable + bytes(6) + header + packed
    assert read_error(protocol, message, destination) == Heard(0x12345678, UNREACHABLE, destination, "port unreachable")
    assert read_error(protocol, message[:30], destination) is None
    assert read_error(protocol, b"\x00\x00" + message[2:], destination) is None


def test_a_checksum_sums_up_to_nothing():
    packed = PROTOCOLS["tcp"].pack("10.0.0.1", "10.0.0.2", 40000, 80, 7)
    assert checksum(bytes([10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 20]) + packed) == 0
    assert checksum(PROTOCOLS["icmp"].pack("10.0.0.1", "10.0.0.2", 40000, 0, 7)) == 0


@pytest.mark.parametrize(("flags", "what"), [(0x12, ANSWERED), (0x14, REFUSED), (0x04, None), (0x10, None)])
def test_of_tcp_only_answers_to_a_syn_are_heard(flags, what):
    packed = struct.pack(">HHIIBBHHH", 80, 40000, 99, 8, 5 << 4, flags, 0, 0, 0)
    heard = read(PROTOCOLS["tcp"], packed, "10.0.0.2")
    assert heard == (Heard(7, what, "10.0.0.2") if what else None)
    assert read(PROTOCOLS["tcp"], packed[:10], "10.0.0.2") is None
