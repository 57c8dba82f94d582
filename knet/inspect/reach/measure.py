"""Predict, try, compare; where the two differ, look again before it is said."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from secrets import randbits

from knet.api.families import family_of
from knet.client.controller import Key
from knet.errors import KnetError
from knet.inspect import desired
from knet.inspect.inventory import MACHINE, Choice, Spot
from knet.inspect.places import Site, Sites
from knet.inspect.predict.verdicts import addresses, verdict
from knet.inspect.reach.ends import End, Ends, Wish, choose
from knet.inspect.reach.matrix import Pair, Reach
from knet.inspect.reach.probes import COUNTING, PROTOCOLS
from knet.inspect.reach.rounds import Probe, observe
from knet.inspect.reach.stations import Station
from knet.inspect.reach.why import why
from knet.inspect.world import World
from knet.kernel import nft
from knet.kernel.files import allow_files
from knet.kernel.namespaces import Namespaces, run_in
from knet.policy import drops
from knet.policy.drops import Drop
from knet.policy.table import FAMILY, NAME
from knet.underlay import impairment

#: pairs that probes' numbers can tell apart
_MOST = 1 << COUNTING
#: descriptors of a station, its namespace with it
_FILES = 6
#: of those that are not there, so many are named
_NAMED = 3
#: of packets, by all tries together, and at most so many tries
_LOST, _TRIES = 1e-6, 40


def measure(read: Callable[[], World], sites: Sites, wish: Wish) -> Reach:
    """Who can talk to whom.  ``read`` gives the world as it is when it is called.

    What differs is tried once more against a second world: rules follow the objects a moment later, and pods end.
    """
    begin, world = time.monotonic(), read()
    ends = choose(world, sites.inventory, wish)
    pairs = [(a, b) for a in ends.sources for b in ends.destinations if a != b]
    if len(pairs) > _MOST:
        raise KnetError(f"these are {len(pairs):,} pairs, more than can be told apart: choose some of them")
    allow_files(_FILES * len(ends.spots))
    there = sites.sites(Choice(spot, named=False) for spot in ends.spots)
    absent = [end for end in ends.sources if end.spot not in there]
    found = _compared(world, there, [pair for pair in pairs if not set(pair) & set(absent)], wish)
    if differing := [pair for pair, row in found.items() if not row.agrees]:
        world = read()
        absent += [end for end in ends.destinations if end not in absent and not _is_there(world, sites, end)]
        found = {pair: row for pair, row in found.items() if not set(pair) & set(absent)}
        found |= _compared(world, there, [pair for pair in differing if pair in found], wish)
        found = dict(zip(found, _explained(world, sites, found.values(), wish), strict=True))
    left = tuple(end for end in ends.sources if end not in absent)
    ends = Ends(left, tuple(end for end in ends.destinations if end not in absent))
    return Reach(ends, list(found.values()), wish.what, time.monotonic() - begin, _notes(dict.fromkeys(absent)))


def _notes(absent: Iterable[End]) -> list[str]:
    names = [str(end) for end in absent]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"without a network of their own by now: {', '.join(names[:_NAMED])}{more}"] if names else []


def _compared(
    world: World, there: Mapping[Spot, Site], pairs: Sequence[tuple[End, End]], wish: Wish
) -> dict[tuple[End, End], Pair]:
    """Of each pair, what is predicted and observed.  Ports are new ones each time: connection tracking remembers."""
    predicted = [verdict(world, a.owner, b.address, b.port, wish.protocol) for a, b in pairs]
    probes = [Probe(a.spot, b.address, b.port) for a, b in pairs if a.spot]
    expected = {index for index, row in enumerate(predicted) if row.reached}
    delay, tries = patience(world)
    one_way = wish.protocol == "udp"
    with ExitStack() as opened:
        stations = _stations(there, wish, family_of(probes[0].address), opened) if probes else {}
        observed = observe(stations, probes, expected, one_way=one_way, delay=delay, tries=tries)
    rows = zip(pairs, predicted, observed, strict=True)
    return {pair: Pair(*pair, guess, seen) for pair, guess, seen in rows}


def _stations(there: Mapping[Spot, Site], wish: Wish, family: str, opened: ExitStack) -> dict[Spot, Station]:
    protocol, ours = PROTOCOLS[wish.protocol], randbits(32 - COUNTING) << COUNTING
    return {spot: opened.enter_context(Station(site.netns, protocol, family, ours)) for spot, site in there.items()}


def patience(world: World) -> tuple[float, int]:
    """What the links ask of who probes: the seconds that all of them together delay, there and back, which is more than
    any way takes; and how often to try, so that one in a million is lost, however many of them a packet crosses."""
    effects = [impairment.changed(impairment.NONE, end.options) for link in world.topology.links for end in link.ends]
    passes = math.prod((1 - row.loss) * (1 - row.corrupt) for row in effects)
    tries = math.log(_LOST) / math.log(1 - passes) if 0 < passes < 1 else 0
    return sum(row.delay + 2 * row.jitter for row in effects), min(math.ceil(tries), _TRIES)


def _is_there(world: World, sites: Sites, end: End) -> bool:
    """Whether it is still who it was."""
    try:
        if end.address not in addresses(world, end.owner):
            return False
    except KeyError:
        return False
    return end.spot is None or sites.site(end.spot).alive


# ---- what differs --------------------------------------------------------------------------------------------------


def _explained(world: World, sites: Sites, pairs: Iterable[Pair], wish: Wish) -> Iterator[Pair]:
    """Disagreements with the reasons for what was expected, and who says that he did otherwise."""
    pairs = list(pairs)
    refusals = (
        list(_refusals(world, sites)) if any(not pair.agrees and pair.predicted.reached for pair in pairs) else []
    )
    for pair in pairs:
        if pair.agrees or not pair.predicted.reached:
            yield pair
            continue
        reason = why(world, pair.source, pair.destination, wish.protocol)
        culprit = next((_text(*row) for row in refusals if _meant(world, pair, row[1], wish.protocol)), "")
        yield Pair(pair.source, pair.destination, pair.predicted, pair.observed, reason, culprit)


def _refusals(world: World, sites: Sites) -> Iterator[tuple[str, Drop]]:
    """What policies have refused of late, by the memory of the kernel's own rules."""
    machines = [Choice(Spot(MACHINE, name), named=False) for name in world.nodes if name in world.topology.machines]
    for spot, site in sites.sites(machines).items():
        listing = run_in(Namespaces({"net": site.netns}), lambda: nft.listing(FAMILY, NAME))
        yield from ((spot.name, drop) for drop in drops.remembered(listing or []))


def _meant(world: World, pair: Pair, drop: Drop, protocol: str) -> bool:
    """Whether a refusal is of that pair's packet."""
    own = {pair.source.address, *desired.own_addresses(world, pair.source.machine)}
    if pair.source.spot and pair.source.spot.kind != MACHINE:
        own = {pair.source.address}
    to = {pair.destination.address}
    if pair.destination.spot is None:
        slices = world.slices_of.get(Key(pair.destination.owner.namespace, pair.destination.owner.name), ())
        to |= {address for row in slices for endpoint in row.endpoints for address in endpoint.addresses}
    return drop.source in own and drop.destination in to and drop.protocol.endswith(protocol)


def _text(machine: str, drop: Drop) -> str:
    policies = " ".join(drop.policies) or "policies that have gone since"
    return f"{machine} dropped it: {drop.direction} by {policies}"
