"""The only door to the kernel: namespaces, netlink, mounts, processes, packet filters.

Verbs are ``ensure`` and ``remove``: they compare first, change only what differs, and can be called twice.
Nothing in here knows what a Pod or a Service is.
"""
