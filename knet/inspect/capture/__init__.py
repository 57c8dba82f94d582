"""`knet capture`: what passes any places at once, in one order of time, with the names of those who talk.

``session``   rings on the places, read together; what happens meanwhile: pods end, pods join, interfaces vanish
``noise``     what nobody asked for;  ``expression``: names in filters
``pcapng``    packets as Wireshark reads them, with comments by ``ends``
``lines``     as people do, from what ``decode`` makes of them
``sink``      where bytes go: a file, a pipe, a terminal, any of which may fill up, stop reading or go away
``packets``   for Python: packets of scapy's

Nothing here looks at a packet with scapy but the last: 50,000 packets a second leave 20 µs for each.
"""
