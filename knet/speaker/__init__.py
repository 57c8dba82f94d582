"""The speaker, one per worker: answers on the underlay for the addresses of Services of type LoadBalancer.

Of the machines that may, one at a time holds an address: it has it on its interface, so its kernel answers ARP and
neighbour solicitations, and kube-proxy's rules take it from there.  Who that is needs no API server: the holder
advertises itself on the link, and when it falls silent the next in rank takes over and tells all neighbours.

``ranking``   who may hold an address, and in what order: the same on every machine
``election``  holder or listener, as in VRRP: a pure state machine
``advert``    what a holder says
``speaker``   API objects in, addresses of the interface out

https://metallb.io/concepts/layer2/ · RFC 9568 (VRRP) · RFC 5227 (announcements)
"""
