"""The mode ``ipvs``: the kernel's load balancer distributes, and a handful of rules that never change do the rest.

- `servers`: which virtual and real servers a snapshot amounts to, and which addresses the machine has to answer to.
- `sets`: upstream's sets of addresses and ports, by which the rules know what belongs to Services.
- `rules`: the fixed iptables rules around them: what is masqueraded, what is refused.
- `changes`: the commands from what the kernel holds to what is wanted; real servers with connections go gracefully.
- `applier`: carries it out.

All but the last is pure.

::

    dst VIP:port ── local, as kube-ipvs0 bears the VIP ── INPUT ── ip_vs: VIP:port → pod ── POSTROUTING
                    nat KUBE-SERVICES marks what has to be masqueraded: is it in KUBE-CLUSTER-IP, not from a pod?
                    filter KUBE-IPVS-FILTER refuses what goes to a VIP's other ports

Upstream: pkg/proxy/ipvs, whose README and set names every text about this mode goes by.  It differs from it in one
respect: ``strictARP`` is always on, so that a load balancer's address is answered for by the one machine that
announces it and not by all that bear it on kube-ipvs0.
"""
