"""From words to the ends of a packet: which address, which port, by which protocol; and what is refused, in a line."""

import pytest
from test_predict_verdicts import PODS, SERVICES, SLICES
from worlds import world

from knet.errors import KnetError
from knet.inspect.inventory import MACHINE, POD, Inventory, Spot
from knet.inspect.trace.targets import Targets
from knet.policy.population import NarrowPod, NarrowStatus

WORLD = world(PODS, SERVICES, SLICES)
INVENTORY = Inventory(
    nodes=WORLD.topology.nodes,
    links=WORLD.topology.links,
    pods=[NarrowPod(metadata=pod.metadata, status=NarrowStatus(podIPs=pod.status.podIPs)) for pod in PODS],
)


def found(word: str, origin: Spot = Spot(POD, "client", "default"), protocol: str = "", question: str = "") -> str:
    row = Targets(WORLD, INVENTORY, origin, "default", "").destination(word, protocol, question)
    return f"{row.protocol} {row.address} {row.port} {row.question}".rstrip()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("10.244.2.5:8080", "tcp 10.244.2.5 8080"),
        ("[fd00::7]:80", "tcp fd00::7 80"),
        ("svc/web", "tcp 10.96.0.80 80"),
        ("default/svc/web:80", "tcp 10.96.0.80 80"),
        ("n2:30080", "tcp 172.18.0.4 30080"),
        ("dns", "udp 10.96.0.10 53 kubernetes.default.svc.cluster.local"),
    ],
)
def test_destinations(word: str, said: str) -> None:
    assert found(word) == said


def test_protocols() -> None:
    assert found("n2", protocol="icmp") == "icmp 172.18.0.4 0"
    assert found("n2", question="web") == "udp 172.18.0.4 53 web"
    assert found("dns", protocol="tcp") == "tcp 10.96.0.10 53"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("svc/wbe", "there is no service wbe in namespace default; did you mean svc/web"),
        ("svc/web:nope", "svc/web:nope: the Service has no tcp port nope"),
        ("n3:80", "there is no machine or switch called 'n3'"),
        ("s1:80", "s1:80 is a switch, which answers nobody"),
        ("n2", "n2: to which port? say n2:PORT, or --proto icmp"),
        ("n2:99999", "n2:99999: 99999 is no port"),
        ("svc/", "'svc/': say svc/NAME"),
        ("10.244.2.5:http", "10.244.2.5:http: http is no port"),
    ],
)
def test_what_means_nothing(word: str, said: str) -> None:
    with pytest.raises(KnetError) as refused:
        found(word)
    assert str(refused.value).startswith(said)


def test_from_outside_a_service_is_its_node_port_and_a_cluster_ip_has_no_meaning() -> None:
    outside = Spot(MACHINE, "client")
    assert found("svc/web", outside) == "tcp 172.18.0.3 30080"
    with pytest.raises(KnetError, match="has a ClusterIP only, to which client has no way"):
        found("svc/local", outside)
