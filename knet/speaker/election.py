"""Who holds an address: every machine decides for itself, by what it hears and how long ago.

As in VRRP (RFC 9568): the holder advertises itself every ``interval``.  A machine that has heard no holder for three
intervals becomes one, the better placed earlier (by ``interval`` / 4 a place), so usually just one does.  Where two
hold, the worse placed yields as soon as it hears the other; a better placed machine that hears a worse one takes over.
One that stops says so and is not waited for.

Pure: time is told to it, in seconds of any monotonic clock.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from knet.speaker.advert import Advert

#: intervals of silence after which there is no holder
PATIENCE = 3
#: of an interval, by which each place waits longer
SKEW = 0.25


@dataclass
class _Contest:
    place: int
    #: when the address is ours if no holder is heard
    due: float
    held: bool = False


@dataclass(frozen=True)
class Turn:
    """What is to be done now.  ``taken`` addresses are new, ``reclaimed`` ones somebody else claimed, too.

    ``advert`` is to be sent; None: nothing to say.  ``wake``: the next turn, None if only news can bring one.
    """

    taken: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    reclaimed: tuple[str, ...] = ()
    advert: Advert | None = None
    wake: float | None = None


@dataclass
class Election:
    """One machine's view of all addresses that it may hold.  ``interval`` in seconds."""

    node: str
    interval: float
    _contests: dict[str, _Contest] = field(default_factory=dict)
    _lost: list[str] = field(default_factory=list)
    _released: list[str] = field(default_factory=list)
    _yielded: list[str] = field(default_factory=list)
    _reclaimed: list[str] = field(default_factory=list)
    _speak_at: float = 0

    @property
    def held(self) -> frozenset[str]:
        return frozenset(address for address, contest in self._contests.items() if contest.held)

    def stand(self, places: Mapping[str, int], now: float, present: Collection[str] = ()) -> None:
        """The addresses that this machine may hold from now on, with its places; it holds those ``present`` already."""
        for address in set(self._contests) - set(places):
            if self._contests.pop(address).held:
                self._lost.append(address)
                self._released.append(address)
        for address, place in places.items():
            known = self._contests.get(address)
            if known is None:
                # whoever is first in rank would take over from any other: it need not wait to hear of one
                self._contests[address] = _Contest(place, now + (self._silence(place) if place else 0))
                self._contests[address].held = address in present
            else:
                known.place = place

    def retire(self) -> None:
        """This machine stops: it gives up what it holds."""
        self.stand({}, 0)

    def heard(self, advert: Advert, now: float) -> bool:
        """What another machine said; whether there is something to do."""
        if advert.node == self.node:
            return False
        act = False
        for address, place in advert.holds.items():
            contest = self._contests.get(address)
            if contest is None:
                continue
            better = (contest.place, self.node) < (place, advert.node)
            if contest.held and not better:
                contest.held = False
                self._lost.append(address)
                self._yielded.append(address)
                act = True
            elif contest.held:
                self._reclaim(address, now)
            act = act or better
            contest.due = now if better else now + self._silence(contest.place)
        for address in advert.released:
            contest = self._contests.get(address)
            if contest is not None and not contest.held:
                contest.due = min(contest.due, now + SKEW * self.interval * contest.place)
                act = True
        for address in advert.yielded:
            if address in self.held:
                self._reclaim(address, now)
                act = True
        return act

    def _reclaim(self, address: str, now: float) -> None:
        """Neighbours may believe somebody else who held it, too."""
        self._reclaimed.append(address)
        self._speak_at = now

    def turn(self, now: float) -> Turn:
        """What has come due.  Everything is told once."""
        taken = [address for address, contest in self._contests.items() if not contest.held and contest.due <= now]
        for address in taken:
            self._contests[address].held = True
        holds = {address: contest.place for address, contest in self._contests.items() if contest.held}
        advert = None
        if taken or self._released or self._yielded or (holds and self._speak_at <= now):
            advert = Advert(self.node, holds, tuple(self._released), tuple(self._yielded))
            self._speak_at = now + self.interval
        lost, reclaimed = tuple(self._lost), tuple(address for address in self._reclaimed if address in holds)
        for told in (self._lost, self._released, self._yielded, self._reclaimed):
            told.clear()
        dues = [contest.due for contest in self._contests.values() if not contest.held]
        wake = min([*dues, *([self._speak_at] if holds else [])], default=None)
        return Turn(tuple(taken), lost, reclaimed, advert, wake)

    def _silence(self, place: int) -> float:
        return (PATIENCE + SKEW * place) * self.interval
