"""The mode ``nftables``: a table of kube-proxy's own, in which the work is done by look-ups.

::

    nat prerouting, output ── services ─┬─ address . protocol . port   in map service-ips ─┬─ goto service-3
                                        └─ protocol . port       in map service-nodeports ─┴─ goto nodeport-3 …
    service-3: not from a pod: mark-for-masquerade; goto service-endpoint-0, -1 or -2 at random
    service-endpoint-0: DNAT to what the map service-endpoints-0 has for address . protocol . port
    nat postrouting ── masquerading: what is marked, and a pod that has reached itself (set hairpin)
    nat prerouting, output, before: ── firewall-check: map firewall-ips, loadBalancerSourceRanges
                            after:  ── …-endpoints-check: map no-endpoint-services, reject or drop
                                    ── cluster-ips-check: set cluster-ips, ports that a Service does not have

Names and structure are upstream's (KEP-3866, pkg/proxy/nftables), except that a Service has no chains of its own:
there is one chain for all that have so many endpoints, and the endpoints stand in a map.  So 5,000 Services are
written in 0.1 s and not in 5, one changed endpoint costs one element, and a packet of the last Service takes as many
steps as one of the first.  Only a Service with session affinity has upstream's chains, ``service-HASH-…`` and
``endpoint-HASH-…``, because each of its endpoints remembers its clients in a set.

`frame` is what is always there, `rendering` what one port of a Service adds to it (`claims` of elements, chains and
sets), `desired` sums that up and tells what a change amounts to, `applier` tells the kernel.
"""
