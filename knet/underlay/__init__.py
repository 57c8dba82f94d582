"""Emulated machines, switches and links: Mininet's model of a network, realised by netlink.

A topology is a Mininet ``Topo``, a graph that starts nothing.  What happens to it, in order:

``topology``    a file or a name → ``Topo``, with the line of each declaration
``describe``    ``Topo`` → `Plan` (``plan``), frozen data; ``impairment`` reads the options of links
``validate``    everything that can be wrong with a plan, as one line each
``cabling``     how links are made of veth pairs and bridges; ``tree``: which of several ways between switches is used
``network``     `Network`, a ``Mininet`` that builds a plan, with ``machine``, ``switch`` and ``link`` as its ``Host``,
                ``Switch`` and ``Link``; ``filesystem``: what a machine sees of the host's
``cables``      the running links: read (``state``), changed, cut; ``carrier``: until they work
``underlay``    `Underlay`, the door for the supervisor
``view``        what can be told of a network to another process, and asked of it
``shell``       ``knet shell``, Mininet's command line over a view; with ``remote`` (nodes in expressions), ``terminal``
                (commands in namespaces), ``ping`` (who reaches whom) and ``iperf``

Up to and including ``cabling`` nothing touches the kernel, except that ``validate`` asks it for sch_netem.
Mininet is imported through ``upstream`` and nowhere else (topologies/ import ``mininet.topo`` as every Mininet user
does).
"""
