"""Racks joined by a leaf-spine fabric: every leaf switch has a cable to every spine switch.

              spine1        spine2             spine1 carries the traffic, spine2 stands by
              /    \\        /    \\
          leaf1 ----+------+--- leaf2 …        each leaf has one cable to each spine
          / | \\                  / \\
       cp1  n1  client          n2  n4 …       172.18.0.0/24, workers dealt out to the leaves in turn

The switches are Linux bridges, and bridges with two paths between them loop: one broadcast would circle for ever.
So only one spanning tree of the fabric is active, rooted at the switch with the lowest ``prio``; cables outside it
are plugged in but their ports stand by.  Cut a cable (``knet link leaf2 spine1 --down``) and the tree is computed anew
over the rest: spine2 takes over at once.  The kernel's own spanning tree protocol would do the same, after at least
four seconds in which nothing is forwarded, and with its BPDUs in every capture.

One subnet spans all racks, so every CNI backend works.  Each leaf is a zone.

    sudo knet up --topo leaf_spine,leaves=3,spines=2 --workers 6
"""

from mininet.topo import Topo


class LeafSpine(Topo):
    """``workers`` machines dealt out to ``leaves`` racks; control plane and client are in the first one."""

    def build(self, workers: int = 2, leaves: int = 2, spines: int = 2) -> None:
        for spine in range(1, spines + 1):
            self.addSwitch(f"spine{spine}", prio=spine)
        for leaf in range(1, leaves + 1):
            self.addSwitch(f"leaf{leaf}", prio=100 + leaf)
            for spine in range(1, spines + 1):
                self.addLink(f"leaf{leaf}", f"spine{spine}")

        self.machine("cp1", "control-plane", number=2, leaf=1)
        for w in range(workers):
            self.machine(f"n{w + 1}", "worker", number=w + 3, leaf=w % leaves + 1)
        self.machine("client", "external", number=workers + 3, leaf=1)

    def machine(self, name: str, role: str, number: int, leaf: int) -> None:
        """One machine, plugged into its leaf."""
        zone = {"topology.kubernetes.io/zone": f"leaf{leaf}"}
        self.addHost(name, role=role, ip=f"172.18.0.{number}/24", labels=zone)
        self.addLink(name, f"leaf{leaf}")


topos = {"leaf_spine": LeafSpine}
