"""The mode ipvs before it meets a kernel: virtual servers, sets, rules, and the commands between two states."""

# rules have one line each
# ruff: noqa: E501

from socket import IPPROTO_TCP, IPPROTO_UDP

import pytest

from knet.api.objects import ServicePort
from knet.kernel.ipset import parse_saved
from knet.kernel.ipvs import Change, Held, Real, Scheduling, Server, State
from knet.proxy.chains import FILTER, IPVS_JUMPS, NAT, Chain
from knet.proxy.iptables import text
from knet.proxy.ipvs.changes import changes, leaving, outcome
from knet.proxy.ipvs.rules import rules
from knet.proxy.ipvs.servers import Wanted, servers
from knet.proxy.ipvs.sets import SETS, contents, kernel_name, restore_text
from knet.proxy.snapshot import build
from knet.proxy.transaction import complete
from knet.proxy.transaction import parse_saved as parse_tables
from tests.cluster_objects import endpoint_slice, service

NODE, CNI0 = "172.18.0.11", "10.244.1.1"
NODE_PORT = ServicePort(name="http", port=80, nodePort=30080)
WEB_SLICE = endpoint_slice("web", "10.244.1.2", "10.244.2.2")


def snapshot(*services, slices=(WEB_SLICE,), cidr="10.244.0.0/16"):
    return build(services or [service("web")], slices, "n1", NODE, cidr)


def virtual(state, scheduler="rr"):
    """The servers as ipvsadm would be told to make them."""
    wanted = servers(state, [CNI0, NODE], scheduler).virtual
    return [str(change) for change in changes(wanted, {})]


def full(*services, **more):
    """The contents of the sets that are not empty."""
    state = snapshot(*services, **more)
    found = contents(state, [CNI0, NODE], servers(state, [CNI0, NODE], "rr").bound)
    return {name: sorted(entries) for name, entries in found.items() if entries}


# ---- virtual servers --------------------------------------------------------------------------------------------


def test_every_way_to_a_service_is_a_virtual_server():
    state = snapshot(service("web", ports=[NODE_PORT], externalIPs=("192.0.2.7",), balanced=["192.0.2.8"]))
    assert virtual(state) == [
        line
        for address in ("10.96.0.80:80", "192.0.2.7:80", "192.0.2.8:80", f"{CNI0}:30080", f"{NODE}:30080")
        for line in (
            f"-A -t {address} -s rr",
            f"-a -t {address} -r 10.244.1.2:8080 -m -w 1",
            f"-a -t {address} -r 10.244.2.2:8080 -m -w 1",
        )
    ]


@pytest.mark.parametrize(
    ("made", "scheduler", "expected"),
    [
        (service("web"), "lc", "-A -t 10.96.0.80:80 -s lc"),
        (service("web", sticky=600), "rr", "-A -t 10.96.0.80:80 -s rr -p 600"),
        (service("web"), "mh", "-A -t 10.96.0.80:80 -s mh -b flag-2"),
        (service("web", ports=[ServicePort(port=53, protocol="UDP")]), "rr", "-A -u 10.96.0.80:53 -s rr"),
        (service("web", ports=[ServicePort(port=5, protocol="SCTP")]), "rr", "-A --sctp-service 10.96.0.80:5 -s rr"),
    ],
)
def test_how_a_virtual_server_chooses(made, scheduler, expected):
    assert virtual(snapshot(made), scheduler)[0] == expected


def test_kube_ipvs0_bears_what_the_machine_does_not_bear_elsewhere():
    made = service("web", ports=[NODE_PORT], externalIPs=("192.0.2.7", NODE), balanced=["192.0.2.8"])
    assert servers(snapshot(made), [CNI0, NODE], "rr").bound == {"10.96.0.80", "192.0.2.7", "192.0.2.8"}


def reals(state, address, port=80):
    wanted = servers(state, [CNI0, NODE], "rr").virtual
    return sorted(str(real) for real in wanted[Server(IPPROTO_TCP, address, port)].reals)


BOTH, HERE, THERE = ["10.244.1.2:8080", "10.244.2.2:8080"], ["10.244.1.2:8080"], ["10.244.2.2:8080"]


@pytest.mark.parametrize(
    ("spec", "endpoints", "inside", "outside"),
    [
        ({}, ["10.244.1.2", "10.244.2.2"], BOTH, BOTH),
        ({"externalTrafficPolicy": "Local"}, ["10.244.1.2", "10.244.2.2"], BOTH, HERE),
        ({"externalTrafficPolicy": "Local"}, ["10.244.2.2"], THERE, THERE),
        ({"internalTrafficPolicy": "Local"}, ["10.244.1.2", "10.244.2.2"], HERE, BOTH),
        ({"internalTrafficPolicy": "Local"}, ["10.244.2.2"], [], THERE),
        ({}, [], [], []),
    ],
)
def test_policies(spec, endpoints, inside, outside):
    state = snapshot(service("web", balanced=["192.0.2.8"], **spec), slices=[endpoint_slice("web", *endpoints)])
    assert (reals(state, "10.96.0.80"), reals(state, "192.0.2.8")) == (inside, outside)


# ---- sets -------------------------------------------------------------------------------------------------------


def test_sets_know_what_belongs_to_services():
    made = service("web", ports=[NODE_PORT], externalIPs=("192.0.2.7",), balanced=["192.0.2.8"])
    assert full(made) == {
        "KUBE-LOOP-BACK": ["10.244.1.2,tcp:8080,10.244.1.2"],
        "KUBE-CLUSTER-IP": ["10.96.0.80,tcp:80"],
        "KUBE-EXTERNAL-IP": ["192.0.2.7,tcp:80"],
        "KUBE-LOAD-BALANCER": ["192.0.2.8,tcp:80"],
        "KUBE-NODE-PORT-TCP": ["30080"],
        "KUBE-IPVS-IPS": ["10.96.0.80", "192.0.2.7", "192.0.2.8"],
    }


def test_policy_local_is_known_by_sets_of_its_own():
    local = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32000, "externalIPs": ("192.0.2.7",)}
    found = full(service("web", ports=[NODE_PORT], balanced=["192.0.2.8"], **local))
    assert {name: found[name] for name in found if "LOCAL" in name or "HEALTH" in name} == {
        "KUBE-EXTERNAL-IP-LOCAL": ["192.0.2.7,tcp:80"],
        "KUBE-LOAD-BALANCER-LOCAL": ["192.0.2.8,tcp:80"],
        "KUBE-NODE-PORT-LOCAL-TCP": ["30080"],
        "KUBE-HEALTH-CHECK-NODE-PORT": ["32000"],
    }


@pytest.mark.parametrize(
    ("ranges", "cidrs", "own"),
    [
        (["10.0.0.1/8", "192.0.2.9/32"], ["10.0.0.0/8", "192.0.2.9"], False),
        (["172.18.0.0/24"], ["172.18.0.0/24"], True),
        (["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], True),
    ],
)
def test_source_ranges(ranges, cidrs, own):
    found = full(service("web", balanced=["192.0.2.8"], loadBalancerSourceRanges=tuple(ranges)))
    assert found["KUBE-LOAD-BALANCER-FW"] == ["192.0.2.8,tcp:80"]
    assert found["KUBE-LOAD-BALANCER-SOURCE-CIDR"] == [f"192.0.2.8,tcp:80,{cidr}" for cidr in cidrs]
    assert ("KUBE-LOAD-BALANCER-SOURCE-IP" in found) == own


def test_sctp_node_ports_are_told_by_address():
    ports = [ServicePort(name="http", port=80, protocol="SCTP", nodePort=30080)]
    found = full(service("web", ports=ports, type="NodePort"))
    assert found["KUBE-NODE-PORT-SCTP-HASH"] == [f"{CNI0},sctp:30080", f"{NODE},sctp:30080"]


def test_only_what_differs_in_a_set_is_told():
    wanted = {
        **dict.fromkeys(SETS, frozenset()),
        "KUBE-CLUSTER-IP": frozenset({"10.96.0.1,tcp:443", "10.96.0.2,udp:53"}),
    }
    held = {**dict.fromkeys(SETS, frozenset()), "KUBE-CLUSTER-IP": frozenset({"10.96.0.1,tcp:443", "10.96.0.3,tcp:80"})}
    assert (
        restore_text(wanted, held, 4) == "add KUBE-CLUSTER-IP 10.96.0.2,udp:53\ndel KUBE-CLUSTER-IP 10.96.0.3,tcp:80\n"
    )
    first = restore_text(wanted, {}, 4).splitlines()
    assert "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536" in first
    assert "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535" in first
    assert len([line for line in first if line.startswith("create")]) == len(SETS)


def test_names_of_ipv6_sets_fit_into_the_kernel():
    names = [kernel_name(name, 6) for name in SETS]
    assert len(set(names)) == len(SETS) and max(map(len, names)) <= 31
    assert kernel_name("KUBE-CLUSTER-IP", 6) == "KUBE-6-CLUSTER-IP"


def test_what_ipset_saves_is_read():
    saved = "create A hash:ip,port family inet hashsize 1024\nadd A 10.96.0.1,tcp:443\ncreate B bitmap:port range 0-9\n"
    assert parse_saved(saved) == {"A": {"10.96.0.1,tcp:443"}, "B": frozenset()}


# ---- rules ------------------------------------------------------------------------------------------------------

GOLDEN = """\
*filter
:KUBE-FORWARD - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SOURCE-RANGES-FIREWALL - [0:0]
:KUBE-IPVS-FILTER - [0:0]
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NODE-PORT -m comment --comment "Kubernetes health check node port" -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT
-A KUBE-PROXY-FIREWALL -m comment --comment "Kubernetes service load balancer ip + port for load balancer with sourceRange" -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL
-A KUBE-SOURCE-RANGES-FIREWALL -m comment --comment "Kubernetes service load balancer ip + port + source cidr for packet filter purpose" -m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN
-A KUBE-SOURCE-RANGES-FIREWALL -j DROP
-A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT
-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-I INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
-I INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-I FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-I INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-LOAD-BALANCER - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
-A KUBE-SERVICES -m comment --comment "Kubernetes service lb portal" -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER
-A KUBE-SERVICES -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
-A KUBE-SERVICES -m comment --comment "Kubernetes service external ip + port for masquerade and filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL -j ACCEPT
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT
-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-NODE-PORT -p tcp -m comment --comment "Kubernetes nodeport TCP port for masquerade purpose" -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
COMMIT
"""


def rules_of(state, family=4):
    bound = servers(state, [CNI0, NODE], "rr").bound
    return rules(contents(state, [CNI0, NODE], bound), state.cluster_cidr, family)


def test_the_rules_are_upstreams():
    made = service(
        "web", ports=[NODE_PORT], externalIPs=("192.0.2.7",), balanced=["192.0.2.8"],
        loadBalancerSourceRanges=("10.0.0.0/8",),
    )  # fmt: skip
    assert text(rules_of(snapshot(made)), jumps=IPVS_JUMPS) == GOLDEN


def test_the_number_of_services_does_not_matter_to_the_rules():
    many = [service(f"s{number}", f"10.96.1.{number}") for number in range(100)]
    assert rules_of(snapshot(*many)) == rules_of(snapshot(many[0], slices=[endpoint_slice("s0", "10.244.2.2")]))


def test_without_a_cluster_range_only_what_starts_here_is_masqueraded():
    [line] = [row for row in rules_of(snapshot(cidr=""))[Chain(NAT, "KUBE-SERVICES")] if "KUBE-MARK-MASQ" in row]
    assert "--match-set KUBE-CLUSTER-IP src,dst -j" in line


def test_ipv6_rules_name_the_sets_of_ipv6():
    lines = [line for rows in rules_of(snapshot(), family=6).values() for line in rows]
    assert "-s ::1/128 -j RETURN" in lines
    assert {line.split("--match-set ")[1].split()[0][:7] for line in lines if "--match-set" in line} == {"KUBE-6-"}


def test_the_modes_take_over_from_each_other_what_works_by_iptables():
    saved = (
        "*filter\n:KUBE-FIREWALL - [0:0]\n:KUBE-NODEPORTS - [0:0]\n-A INPUT -j KUBE-FIREWALL\n"
        '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL\n'
        '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD\nCOMMIT\n'
        "*nat\n:KUBE-SVC-X - [0:0]\n:MINE - [0:0]\n-A MINE -j KUBE-SVC-X\nCOMMIT\n"
    )
    lines = complete(rules_of(snapshot()), parse_tables(saved), IPVS_JUMPS).splitlines()
    assert [line for line in lines if line.startswith(("-D", "-X"))] == [
        "-D INPUT -j KUBE-FIREWALL",
        '-D INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        "-X KUBE-FIREWALL",
        "-X KUBE-NODEPORTS",
        "-X KUBE-SVC-X",
    ]  # fmt: skip
    assert not any("-I FORWARD" in line and "KUBE-FORWARD" in line for line in lines)
    assert Chain(FILTER, "KUBE-FIREWALL") in parse_tables(saved).rules


# ---- commands ---------------------------------------------------------------------------------------------------

TCP, UDP = Server(IPPROTO_TCP, "10.96.0.80", 80), Server(IPPROTO_UDP, "10.96.0.10", 53)
ONE, TWO = Real("10.244.1.2", 8080), Real("10.244.2.2", 8080)
RR = Scheduling("rr")


@pytest.mark.parametrize(
    ("server", "wanted", "held", "commands"),
    [
        (TCP, {ONE}, {ONE: State()}, []),
        (TCP, {ONE, TWO}, {ONE: State()}, ["-a -t 10.96.0.80:80 -r 10.244.2.2:8080 -m -w 1"]),
        (TCP, {ONE}, {ONE: State(), TWO: State(1, 0)}, ["-d -t 10.96.0.80:80 -r 10.244.2.2:8080"]),
        (TCP, {ONE}, {ONE: State(), TWO: State(1, 3)}, ["-e -t 10.96.0.80:80 -r 10.244.2.2:8080 -m -w 0"]),
        (TCP, {ONE}, {ONE: State(), TWO: State(0, 1)}, []),
        (TCP, {ONE}, {ONE: State(), TWO: State(0, 0)}, ["-d -t 10.96.0.80:80 -r 10.244.2.2:8080"]),
        (TCP, {ONE, TWO}, {ONE: State(), TWO: State(0, 1)}, ["-e -t 10.96.0.80:80 -r 10.244.2.2:8080 -m -w 1"]),
        (UDP, {ONE}, {ONE: State(), TWO: State(1, 3)}, ["-d -u 10.96.0.10:53 -r 10.244.2.2:8080"]),
    ],
    ids=["same", "new", "idle", "in use", "still in use", "idle at last", "back again", "UDP waits for nothing"],
)
def test_real_servers_go_when_their_connections_have_ended(server, wanted, held, commands):
    found = changes({server: Wanted(RR, frozenset(wanted))}, {server: Held(RR, held)})
    assert [str(change) for change in found] == commands


def test_virtual_servers_come_before_others_go():
    wanted = {TCP: Wanted(RR, frozenset({ONE}))}
    found = changes(wanted, {UDP: Held(RR, {ONE: State(1, 5)})})
    assert [change.verb for change in found] == ["A", "a", "D"]
    assert changes(wanted, {TCP: Held(Scheduling("lc"), {ONE: State()})}) == [Change("E", TCP, RR)]


def test_what_is_remembered_is_what_the_kernel_holds_then():
    wanted = {TCP: Wanted(RR, frozenset({ONE}))}
    held = {TCP: Held(Scheduling("lc"), {TWO: State(1, 3)}), UDP: Held(RR, {})}
    assert leaving(wanted[TCP], held[TCP])
    after = outcome(wanted, held)
    assert after == {TCP: Held(RR, {ONE: State(), TWO: State(0, 3)})}
    assert changes(wanted, after) == []
    assert not leaving(wanted[TCP], Held(RR, {ONE: State()}))
