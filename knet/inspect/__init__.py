"""What a cluster does to packets, and why: it looks at the kernel and at the API, and joins what it finds.

It never knows the supervisor: the places it looks at are handed to it, as open namespaces, by `knet.cluster`.
"""
