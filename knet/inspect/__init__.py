"""See every packet, and why: what goes on in a running cluster's network, told in the names of its objects.

``inventory``  machines, pods, switches, Services …: what there is, and the words by which people choose of it
``places``     where one can look: the interfaces of those, opened
``names``      whose an address is

What is looked at is handed in by whoever knows the cluster: `knet.underlay.view.NetworkView` for machines, switches and
links, an API client for objects.  Nothing here talks to the supervisor, and no component knows of it: a cluster that
nobody inspects pays nothing.
"""
