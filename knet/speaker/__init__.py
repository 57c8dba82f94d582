"""The speaker, one per worker: lets the underlay know where the addresses of Services of type LoadBalancer are.

``ranking``    who may announce an address, and in what order: the same on every machine
``balancers``  what the API says

Layer-2 mode: of the machines that may, one at a time holds an address: it has it on its interface, so its kernel
answers ARP and neighbour solicitations, and kube-proxy's rules take it from there.  Who that is needs no API server:
the holder advertises itself on the link, and when it falls silent the next in rank takes over and tells all neighbours.

``election``  holder or listener, as in VRRP: a pure state machine
``advert``    what a holder says
``speaker``   API objects in, addresses of the interface out

BGP mode: all machines that may announce an address to their router, which spreads connections over them.

``announcements``  which addresses: pure
``bgp``            API objects in, routes out of which the machine's BIRD makes announcements

https://metallb.io/concepts/ · RFC 9568 (VRRP) · RFC 5227 (announcements) · RFC 4271 (BGP) · RFC 5880 (BFD)
"""
