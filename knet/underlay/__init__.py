"""Emulated machines, switches and links: Mininet's model of a network, realised by netlink.

A topology is a Mininet ``Topo``, a graph that starts nothing.  It becomes a cluster's network in three steps, each of
which can be looked at:

``topology``   a file or a name → ``Topo`` (`load`); ``Topo`` → `Plan`, frozen data (`describe`)
``plan``       what is to be built, with the line of the topology file that asked for it
``validate``   everything that can be wrong with a plan, as one line each
``impairment`` bw, delay, jitter, loss and max_queue_size: parsed, merged, turned into queueing disciplines
``tree``       which switch-to-switch cables carry traffic where there are several ways
``network``    `Network`, a ``Mininet`` that builds a plan in a few milliseconds
``machine``, ``switch``, ``link``   its ``Host``, ``Switch`` and ``Link``
``underlay``   `Underlay`: a network that runs, with its links to be read, changed and cut
``ping``       who reaches whom, measured with ICMP from inside the machines
``view``, ``shell``   ``knet shell``: Mininet's command line over any network that can be viewed

Mininet is imported through ``knet.underlay.upstream`` and nowhere else (topologies/ import ``mininet.topo`` as every
Mininet user does).
"""
