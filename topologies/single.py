"""One switch with everything plugged into it: the cluster of the textbooks.

      cp1   n1  n2 … nN   client
       |    |   |    |      |
       +----+---+----+------+---- s1          172.18.0.0/24

The client is no part of the cluster: what it sends comes from outside (north-south traffic).
All machines share one subnet, so every CNI backend works.

    sudo knet up --topo single --workers 3
"""

from ipaddress import ip_network

from mininet.topo import Topo


class Single(Topo):
    """``workers`` machines n1, n2 …, a control plane and a client on one switch."""

    def build(self, workers: int = 2) -> None:
        subnet = ip_network("172.18.0.0/24" if workers <= 250 else "172.18.0.0/20")
        s1 = self.addSwitch("s1")
        roles = {"cp1": "control-plane", **{f"n{i + 1}": "worker" for i in range(workers)}, "client": "external"}
        for number, (name, role) in enumerate(roles.items(), start=2):
            self.addHost(name, role=role, ip=f"{subnet[number]}/{subnet.prefixlen}")
            self.addLink(name, s1)


topos = {"single": Single}
