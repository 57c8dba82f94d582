"""What is seen of one packet on its way: frames on every interface, rules that matched, what the kernel says.

``frames``       bytes of a captured frame, read
``mark``         how the probe and its answer are told from all else, whatever is done to their addresses
``probes``       real sockets that send it: TCP, UDP, ICMP, a question to the DNS
``live``         somebody else's packet instead of a probe, picked and known again
``watch``        listening in many network namespaces at once, until the answer or the failure is decided
``lookups``      routes, neighbours, forwarding entries, links and settings, asked of one namespace
``rules``        the chains that rules' traces name: their hooks, and their rules in words
``way``          what was seen, as the hops of `knet.inspect.trace.hops`
"""
