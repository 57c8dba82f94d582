"""Two racks, two subnets, a router between them.

       cp1  n1  n3 … client                n2  n4 …
        |    |   |     |                    |   |
        +----+---+-----+-- s1 --- r1 --- s2-+---+
                172.18.1.0/24           172.18.2.0/24

The CNI backend ``host-gw`` cannot work here: it tells n1 "pods 10.244.2.0/24 via n2", but n2 is no neighbour of n1,
and r1, which is, knows no pods.  ``vxlan`` works: r1 only ever sees packets between machines.  ``direct-routing`` does
both: plain routes inside a rack, the tunnel across.

    sudo knet up --topo two_racks --cni vxlan
"""

from mininet.topo import Topo


class TwoRacks(Topo):
    """``workers`` machines, odd ones in rack 1 beside control plane and client, even ones in rack 2."""

    def build(self, workers: int = 2) -> None:
        self.addHost("r1", role="router", ip="172.18.1.1/24")
        self.addLink(self.addSwitch("s1"), "r1")
        self.addLink(self.addSwitch("s2"), "r1", params2={"ip": "172.18.2.1/24"})

        self.machine("cp1", "control-plane", number=2, rack=1)
        for w in range(1, workers + 1):
            self.machine(f"n{w}", "worker", number=w + 2, rack=1 if w % 2 else 2)
        self.machine("client", "external", number=workers + 3, rack=1)

    def machine(self, name: str, role: str, number: int, rack: int) -> None:
        """One machine, plugged into the switch of its rack; the other rack is behind the router."""
        self.addHost(
            name,
            role=role,
            ip=f"172.18.{rack}.{number}/24",
            defaultRoute=f"via 172.18.{rack}.1",
            labels={"topology.kubernetes.io/zone": f"rack{rack}"},
        )
        self.addLink(name, f"s{rack}")


topos = {"two_racks": TwoRacks}
