"""Packets and what becomes of them, for the walkers through rendered rules: one for each language of rules."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, unless ``state`` says otherwise."""

    source: str
    destination: str
    port: int
    protocol: str = "tcp"
    state: str = "NEW"
    mark: int = 0


@dataclass(frozen=True)
class Outcome:
    """Where it is sent, whether under the machine's own address, and the verdict: ACCEPT, DROP or REJECT."""

    to: str
    masqueraded: bool = False
    verdict: str = "ACCEPT"
