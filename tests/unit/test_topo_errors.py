"""Whatever is wrong with a topology is one line that begins with the place where it can be put right."""

from pathlib import Path

import pytest

from knet.kernel.features import FEATURES
from knet.underlay.topology import TopologyError, describe, load
from knet.underlay.validate import check

HEAD = """\
from mininet.topo import Topo

class Mine(Topo):
    def build(self, workers=1):
        s1 = self.addSwitch("s1")
        self.addLink(self.addHost("cp1", role="control-plane", ip="172.18.0.2/24"), s1)
        self.addLink(self.addHost("n1", role="worker", ip="172.18.0.3/24"), s1)
"""
TAIL = """
topos = {"mine": Mine}
"""

#: a line 8 for the topology above → the complaint, of which mine.py is the beginning
LINE_8 = [
    ('self.addHost("n1", ip="172.18.0.4/24")', "8: n1 is declared twice, first at mine.py:7"),
    ('self.addSwitch("cp1")', "8: cp1 is declared twice, first at mine.py:6"),
    ('self.addLink("n1", "n9")', "8: link n1–n9: there is no n9; declare it above this line"),
    ('self.addLink("s1", "s1")', "8: link s1–s1: a link needs two different ends"),
    ("self.addLnk(s1)", "8: AttributeError: 'Mine' object has no attribute 'addLnk'"),
    ("1 / 0", "8: ZeroDivisionError: division by zero"),
    (
        'self.addHost("n2", role="wroker")',
        "8: host n2: role 'wroker': choose one of control-plane, worker, external, router",
    ),
    (
        'self.addHost("n2", rol="worker")',
        "8: host n2: unknown option rol; there are role, ip, defaultRoute, routes, labels, cpu, memory",
    ),
    ('self.addHost("n2", role="worker")', "8: host n2 has no link: add addLink('n2', …)"),
    ('self.addLink(self.addHost("n2", ip="172.18.0.3/24"), s1)', "8: host n2: n1 has the address 172.18.0.3 already"),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.300/24"), s1)',
        "8: host n2: ip='172.18.0.300/24' is no IPv4 address with a prefix length",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.255/24"), s1)',
        "8: host n2: 172.18.0.255/24 is no host's address: it names the network, or everybody in it",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.9/16"), s1)',
        "8: host n2: its subnet 172.18.0.0/16 overlaps with 172.18.0.0/24 of cp1",
    ),
    (
        'self.addLink(self.addHost("n2", ip="10.244.3.9/24"), s1)',
        "8: host n2: 10.244.3.0/24 overlaps with 10.244.0.0/16, the addresses of pods",
    ),
    (
        'self.addLink(self.addHost("n2", ip="10.100.0.9/16"), s1)',
        "8: host n2: 10.100.0.0/16 overlaps with 10.96.0.0/12, the addresses of Services",
    ),
    (
        'self.addLink(self.addHost("N2"), s1)',
        "8: host N2: a machine's name consists of lower case letters, digits "
        "and '-', and starts and ends with a letter or a digit",
    ),
    (
        'self.addLink(self.addHost("controlplane"), s1)',
        "8: host controlplane: interface controlplane-eth0 has 17 characters, the kernel allows 15: shorten it",
    ),
    (
        'self.addLink(self.addHost("n2", defaultRoute="172.18.0.1"), s1)',
        "8: host n2: defaultRoute='172.18.0.1': write defaultRoute='via 172.18.1.1'",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24", defaultRoute="via 172.18.1.1"), s1)',
        "8: host n2: next hop 172.18.1.1 is not in 172.18.0.0/24",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24", defaultRoute="via 172.18.0.1"), s1)',
        "8: host n2: no machine has the address 172.18.0.1 of its next hop",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24", cpu="many"), s1)',
        "8: host n2: cpu='many' is no quantity, such as cpu='2' or memory='4Gi'",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24", labels={"zone": "a b"}), s1)',
        "8: host n2: zone=a b is no label that Kubernetes allows",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.1.4/24"), self.addSwitch("s2"))',
        "8: host n2: no links lead from it to cp1",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24"), s1, up=False)',
        "8: host n2: no links lead from it to cp1",
    ),
    (
        'self.addLink(self.addHost("n2", ip="172.18.0.4/24"), s1, up="no")',
        "8: link n2–s1: up='no' is neither True nor False",
    ),
    (
        'self.addLink("n1", self.addHost("n2", ip="172.18.1.4/24"))',
        "7: host n1: n1-eth1 needs an address: give the link params1 or params2 = {'ip': …}",
    ),
    (
        'self.addLink("n1", "s1", bandwidth=10)',
        "8: link n1–s1: unknown option bandwidth; there are "
        "bw, delay, jitter, loss, loss_correlation, duplicate, reorder, corrupt, max_queue_size, mtu, up, "
        "intfName1, intfName2, params1, params2",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", bw="fast")',
        "8: link s2–s1: bw='fast' is no bandwidth: a number of Mbit/s is meant, such as bw=10",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", delay=5)',
        "8: link s2–s1: delay=5 is no time: a number with its unit is meant, such as delay='20ms'",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", loss=101)',
        "8: link s2–s1: loss=101 is no percentage: a number from 0 to 100 is meant, such as loss=1",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", jitter="2ms")',
        "8: link s2–s1: jitter needs a delay from which to deviate",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", mtu=80)',
        "8: link s2–s1: mtu=80 is no number of bytes from 576 to 65535",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", delay="20ms")',
        "8: link s2–s1: delay needs the kernel module sch_netem, which this kernel does not have. "
        "Remove delay=, or run a kernel with it (docs/kernels.md); bw, max_queue_size, cut cables and partitions "
        "work without.",
    ),
    (
        'self.addLink(self.addSwitch("s2"), "s1", delay="20ms", loss=1)',
        "8: link s2–s1: delay and loss need the kernel module sch_netem, which this kernel does not have. "
        "Remove delay=, loss=, or run a kernel with it (docs/kernels.md); bw, max_queue_size, cut cables and "
        "partitions work without.",
    ),
    (
        'self.addLink(self.addHost("cp2", role="control-plane", ip="172.18.0.9/24"), s1)',
        "8: host cp2 is a second control plane beside cp1: one is supported",
    ),
    (
        '[self.addLink(self.addHost(f"h{i}", ip=f"172.18.{4 + i // 250}.{i % 250 + 1}/22"), s1) for i in range(1022)]',
        "5: switch s1 has 1024 links, a Linux bridge takes 1023: divide them among several switches",
    ),
]


def _complaint(spec: str, workers: int | None = None) -> str:
    with pytest.raises(TopologyError) as caught:
        check(describe(load(spec, workers)), missing=lambda names: [FEATURES[name] for name in names if name != "tbf"])
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "complaint"), LINE_8, ids=[complaint for _line, complaint in LINE_8])
def test_a_mistake_in_a_line(here: Path, line: str, complaint: str) -> None:
    (here / "mine.py").write_text(f"{HEAD}        {line}\n{TAIL}")
    assert _complaint("./mine.py") == f"./mine.py:{complaint}".replace("at mine.py", "at ./mine.py")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("x = (", "./mine.py:1: '(' was never closed"),
        ("import nothing_of_this_name", "./mine.py:1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("x = 1", "./mine.py: defines no topology; end it with topos = {'name': YourTopo}"),
        ("topos = {'a': 1}", "./mine.py: topos['a'] is 1, which cannot be called to make a Topo"),
        ("topos = {'a': dict, 'b': dict}", "./mine.py: defines a, b; choose one: ./mine.py:a"),
        ("topos = {'a': lambda: 7}", "./mine.py: topos[...]() returned int, not a mininet.topo.Topo"),
    ],
)
def test_a_file_that_is_no_topology(here: Path, source: str, complaint: str) -> None:
    (here / "mine.py").write_text(source)
    assert _complaint("./mine.py").replace("topos['']", "topos['a']") == complaint


def test_what_is_missing_as_a_whole(here: Path) -> None:
    (here / "mine.py").write_text(HEAD.replace("control-plane", "external") + TAIL)
    assert _complaint("./mine.py") == "./mine.py: no control plane: give one host role='control-plane'"
    (here / "mine.py").write_text(HEAD.replace('"worker"', '"external"') + TAIL)
    assert _complaint("./mine.py") == (
        "./mine.py: no worker: pods need at least one host with role='worker' (--workers 1)"
    )
    assert _complaint("single", workers=0).startswith("single.py: no worker")


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("ring", "there is no topology 'ring': choose leaf_spine, single, two_racks, wan, or give a file: ./ring.py"),
        ("labs/ring.py", "labs/ring.py: no such file"),
        ("wan,fast", "topology wan,fast: 'fast' is no parameter; write name=value, such as spines=2"),
        ("wan,speed=3", "wan.py: this topology has no parameter speed; it takes workers, bw, delay"),
    ],
)
def test_a_topology_that_cannot_be_had(spec: str, complaint: str) -> None:
    assert _complaint(spec) == complaint


def test_a_topology_behind_a_function_takes_no_parameters(here: Path) -> None:
    (here / "mine.py").write_text(HEAD + "topos = {'mine': lambda: Mine()}")
    describe(load("./mine.py"))
    assert _complaint("./mine.py", workers=3) == (
        "./mine.py: this topology has no parameter workers; it takes no parameters"
    )


def test_ranges_of_the_cluster_must_not_overlap_each_other() -> None:
    with pytest.raises(TopologyError, match=r"the addresses of pods .* and of Services .* overlap"):
        check(describe(load("single")), {"pods": "10.96.0.0/16", "Services": "10.96.0.0/12"})


def test_loading_leaves_mininet_and_the_directory_as_they_were(here: Path) -> None:
    from mininet.topo import Topo

    methods = Topo.addNode, Topo.addLink
    (here / "mine.py").write_text(HEAD + TAIL)
    load("./mine.py")
    assert (Topo.addNode, Topo.addLink) == methods
    assert [path.name for path in here.iterdir()] == ["mine.py"]
