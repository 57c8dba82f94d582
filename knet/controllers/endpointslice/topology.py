"""Topology-aware routing: endpoints are meant for the clients of zones, in proportion to the zones' CPUs (KEP-2433).

An endpoint is meant for its own zone first.  Zones that have more endpoints than their share give some to those that
have fewer, as long as no zone ends with so few that each of them would get a fifth more than its share of the traffic;
where that cannot be, there are no hints at all, and the Service's Events say why.  Reasons are upstream's
(k8s.io/endpointslice/topologycache).

Unlike there, hints are worked out anew at each pass, from the endpoints alone: after any history they are the same.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from knet.api.names import ZONE_LABEL
from knet.api.objects import EndpointHints, ForZone, Node, Service
from knet.api.quantity import milli
from knet.controllers.endpointslice.members import Member

#: the newer name counts
ANNOTATIONS = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
#: a machine that serves no ordinary clients
_EXCLUDED = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
#: by how much the endpoints of a zone may have more to do than if all zones shared them
OVERLOAD = 0.2

ENABLED = "Topology Aware Hints has been enabled"
DISABLED = "Topology Aware Hints has been disabled"
INSUFFICIENT_NODES = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
INSUFFICIENT_ENDPOINTS = "Insufficient number of endpoints"
NO_ZONE = "One or more endpoints do not have a zone specified"
OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"


class Outcome(NamedTuple):
    """The members with their hints; or without any, for a ``reason``."""

    members: list[Member]
    reason: str = ""


def wanted(service: Service) -> bool:
    """Whether the Service asks for it."""
    found = service.metadata.annotations
    return next((found[name] for name in ANNOTATIONS if name in found), "") in ("Auto", "auto")


def capacity(node: Node) -> tuple[str, int] | None:
    """Its zone and CPU (thousandths); None for one that does not count."""
    if not node.ready or any(name in node.metadata.labels for name in _EXCLUDED):
        return None
    return node.metadata.labels.get(ZONE_LABEL, ""), milli(node.status.allocatable.get("cpu", 0))


def shares(nodes: Iterable[Node]) -> dict[str, float]:
    """Each zone's part of all CPUs; {} where one node does not say enough, or all are in one zone."""
    by_zone: Counter[str] = Counter()
    for node in nodes:
        if (found := capacity(node)) is not None:
            zone, cpu = found
            if not zone or not cpu:
                return {}
            by_zone[zone] += cpu
    whole = by_zone.total()
    return {zone: cpu / whole for zone, cpu in by_zone.items()} if len(by_zone) > 1 else {}


def hinted(members: Sequence[Member], zones: Mapping[str, float]) -> Outcome:
    """The members of one address family, those that are ready with the zone that they are meant for."""
    ready = [row for row in members if row.endpoint.conditions.ready]
    if reason := _obstacle(ready, zones):
        return Outcome([_with_hint(row, "") for row in members], reason)
    meant = _meant(ready, zones)
    return Outcome([_with_hint(row, meant.get(_identity(row), "")) for row in members])


def _obstacle(ready: Sequence[Member], zones: Mapping[str, float]) -> str:
    if not zones:
        return INSUFFICIENT_NODES
    numbers = f"({len(ready)} endpoints, {len(zones)} zones)"
    if len(zones) > len(ready):
        return f"{INSUFFICIENT_ENDPOINTS} {numbers}"
    if sum(_minimum(part, len(ready)) for part in zones.values()) > len(ready):
        return f"{OVERLOADED} {numbers}"
    if not all(row.endpoint.zone for row in ready):
        return NO_ZONE
    return ""


def _minimum(part: float, endpoints: int) -> int:
    return math.ceil(part * endpoints / (1 + OVERLOAD))


def _meant(ready: Sequence[Member], zones: Mapping[str, float]) -> dict[str, str]:
    """The zone of each, by identity."""
    have = Counter(row.endpoint.zone for row in ready)
    count = len(ready)
    gives, takes = _moves(have, {zone: max(part * count, _minimum(part, count)) for zone, part in zones.items()})
    meant = {}
    for row in ready:
        zone = row.endpoint.zone
        if gives[zone] and takes.total():
            gives[zone] -= 1
            zone = min(takes.elements())
            takes[zone] -= 1
        meant[_identity(row)] = zone
    return meant


def _moves(have: Mapping[str, int], desired: Mapping[str, float]) -> tuple[Counter[str], Counter[str]]:
    """How many endpoints zones give, and how many they take: one by one, from who has most too many to who lacks most.

    Less than half of one is not worth a move, nor less than a whole one on both sides.
    """
    surplus = {zone: have.get(zone, 0) - target for zone, target in desired.items()}
    gives: Counter[str] = Counter()
    takes: Counter[str] = Counter()
    while True:
        giver, taker = max(sorted(surplus), key=surplus.__getitem__), min(sorted(surplus), key=surplus.__getitem__)
        much, little = surplus[giver], -surplus[taker]
        if min(much, little) < 0.5 or max(much, little) < 1:
            return gives, takes
        gives[giver] += 1
        takes[taker] += 1
        surplus[giver] -= 1
        surplus[taker] += 1


def _identity(member: Member) -> str:
    return member.endpoint.addresses[0]


def _with_hint(member: Member, zone: str) -> Member:
    hints = EndpointHints(forZones=(ForZone(name=zone),)) if zone else None
    return member._replace(endpoint=replace(member.endpoint, hints=hints))
