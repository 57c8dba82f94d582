"""Two sites and one long, slow link between them.

       cp1  n1  n3 … client                                  n2  n4 …
        |    |   |     |                                      |   |
        +----+---+-----+-- s1 --- r1 ================ r2 --- s2---+
               172.18.1.0/24       172.18.0.0/30         172.18.2.0/24
                                 100 Mbit/s, 20 ms

What is a detail elsewhere matters here: where the scheduler puts a pod, which endpoint a Service picks, how long a node
may be silent before its pods are moved.

Delay is the work of the kernel module sch_netem, which some small kernels lack; ``delay=0`` keeps the narrow link only:

    sudo knet up --topo wan,bw=10,delay=100ms
    sudo knet up --topo wan,delay=0
"""

from mininet.topo import Topo


class Wan(Topo):
    """``workers`` machines, odd ones at site 1 beside control plane and client, even ones at site 2.

    ``bw`` in Mbit/s and the one-way ``delay`` (a number with its unit) are those of the link between the sites.
    """

    def build(self, workers: int = 2, bw: float = 100, delay: str = "20ms") -> None:
        self.addHost("r1", role="router", ip="172.18.1.1/24", routes={"172.18.2.0/24": "172.18.0.2"})
        self.addHost("r2", role="router", ip="172.18.2.1/24", routes={"172.18.1.0/24": "172.18.0.1"})
        self.addLink("r1", self.addSwitch("s1"))
        self.addLink("r2", self.addSwitch("s2"))
        self.addLink("r1", "r2", bw=bw, delay=delay, params1={"ip": "172.18.0.1/30"}, params2={"ip": "172.18.0.2/30"})

        self.machine("cp1", "control-plane", number=2, site=1)
        for w in range(1, workers + 1):
            self.machine(f"n{w}", "worker", number=w + 2, site=1 if w % 2 else 2)
        self.machine("client", "external", number=workers + 3, site=1)

    def machine(self, name: str, role: str, number: int, site: int) -> None:
        """One machine, plugged into the switch of its site; the other site is behind the router."""
        self.addHost(
            name,
            role=role,
            ip=f"172.18.{site}.{number}/24",
            defaultRoute=f"via 172.18.{site}.1",
            labels={"topology.kubernetes.io/region": f"site{site}", "topology.kubernetes.io/zone": f"site{site}"},
        )
        self.addLink(name, f"s{site}")


topos = {"wan": Wan}
