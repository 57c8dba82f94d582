"""What flows now: packets of an interval, counted by connection, with names: pod → Service → pod.

``sample``        packets that pass some places, counted by addresses and ports
``connections``   which of these are one connection, by what the machines' connection tracking has of it
``text``          as people read it
"""
