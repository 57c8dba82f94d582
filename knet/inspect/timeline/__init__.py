"""What happened, in one order: API writes, decisions, sandboxes, probes, signals, rules, packets.

Every process of a cluster runs on one kernel, so one clock, CLOCK_MONOTONIC, stamps them all and none has to be brought
in step with another.  The API server's history has the writes (`history`), the components' flight recorders have what
they did (`recorded`), and whoever else has something to tell (packets) makes `Event`s of it, too.
"""
