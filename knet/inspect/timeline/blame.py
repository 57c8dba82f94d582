"""Who is to blame for requests that were dropped while endpoints went: joins signals, slices, rules and packets.  Pure.

A pod that is to end is told so by its kubelet (SIGTERM) while the rest of the cluster forgets it, and neither waits for
the other:

    DELETE pod ─┬─ kubelet ── preStop hook, if any ── SIGTERM ── it accepts no more
                └─ endpoint slice controller ── slice ── kube-proxy of each machine ── rules without it

A machine whose rules come after the signal has *kept* the pod; what it sends there in that time is refused, or nobody
answers.  Who was late is found from where the time went; what helps is mostly to let the pod wait.
"""

import ipaddress
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from knet.inspect.timeline.attempts import ACCEPTED, CUT, REFUSED, UNANSWERED, UNREACHABLE, Attempt
from knet.inspect.timeline.event import Event, short, spelled
from knet.inspect.timeline.facts import Facts, PodFacts

_KUBE_PROXY = "kube-proxy"
#: how the kubelet's record and the history call them
HOOK, GONE = "preStop hook", "gone"
#: a preStop sleep is to last so many times as long as it was needed this time
_RESERVE = 1.5
#: how many lines are told of each sort
_SHOWN = 6


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the connections that a machine sent to a pod from its signal on."""

    syns: int = 0
    accepted: int = 0
    refused: int = 0
    unreachable: int = 0
    unanswered: int = 0
    cut: int = 0
    """accepted, and then reset by it in the middle"""

    @property
    def lost(self) -> int:
        return self.syns - self.accepted

    def __str__(self) -> str:
        """``12 SYNs hit it, 12 RSTs``"""
        words = [f"{_count(self.syns, 'SYN')} {'sent to' if self.unanswered or self.unreachable else 'hit'} it"]
        kinds = {"RST": self.refused, "ICMP error": self.unreachable}
        words += [_count(number, kind) for kind, number in kinds.items() if number]
        words += [f"{self.unanswered} unanswered"] if self.unanswered else []
        words += [f"{self.cut} reset in the middle"] if self.cut else []
        words += [f"{self.accepted} accepted"] if self.accepted and self.lost else []
        return ", ".join(words)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's rules, and an ending pod.  Times are CLOCK_MONOTONIC, nanoseconds; 0: has not happened."""

    machine: str
    rules: int
    """when they led there no more"""
    late: int
    """nanoseconds from the slice's change to these"""
    after_signal: int
    """nanoseconds by which it came after the signal; negative: before; until the end of the recording without rules"""
    dropped: Dropped


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A pod that was to end, and who knew of it when; times as of `Kept`."""

    pod: str
    service: str
    deleted: int
    hook: int
    """preStop"""
    signal: int
    signal_name: str
    """SIGTERM, unless its image says otherwise"""
    killed: int
    """SIGKILL, its grace period being over"""
    slice: int
    """when it was no longer ready in its EndpointSlice"""
    controller: str
    """who wrote that"""
    machines: tuple[Kept, ...]

    @property
    def lost(self) -> int:
        return sum(row.dropped.lost for row in self.machines)


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """Connections that were dropped although the pod was not ending, or because there was none."""

    machine: str
    to: str
    dropped: Dropped
    starting: bool
    """it had not accepted anything before"""


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """How long somebody took for their part, in nanoseconds, where it was shortest and longest."""

    who: str
    least: int
    most: int
    delay: int = 0
    """on purpose (`knet delay`)"""

    def __str__(self) -> str:
        span = spelled(self.most) if self.least == self.most else f"{spelled(self.least)} to {spelled(self.most)}"
        return f"{self.who} took {span}" + (f", {spelled(self.delay)} of that by knet delay" if self.delay else "")


class Blame(msgspec.Struct, frozen=True, kw_only=True):
    """``packets``: whether there are packets to judge by; without them there is just who was late."""

    packets: bool
    connections: int
    endings: tuple[Ending, ...]
    elsewhere: tuple[Elsewhere, ...]
    late: tuple[Late, ...] = ()
    """where the time went, the longest first"""
    helps: tuple[str, ...] = ()
    """what would have helped"""
    sentences: tuple[str, ...] = ()
    """the report, for people"""

    @property
    def lost(self) -> int:
        """How many connections were dropped."""
        return sum(row.lost for row in self.endings) + sum(row.dropped.lost for row in self.elsewhere)

    @property
    def text(self) -> str:
        return "".join(f"{sentence}\n" for sentence in self.sentences)


#: a machine that kept a pod
Culprit = tuple[Ending, Kept]


def blame(
    events: Sequence[Event],
    facts: Facts,
    names: Collection[str],
    attempts: Sequence[Attempt] | None,
    delays: Mapping[str, float],
    now: int,
) -> Blame | None:
    """The report on these events; None where no pod ended and nothing was dropped.

    ``names``: the objects that it is about; ``attempts``: None if no packets were recorded; ``delays``: seconds by
    component (`knet delay`); ``now``: when the recording ended.
    """
    pods = facts.of(names)
    sent: dict[str, list[Attempt]] = defaultdict(list)
    for row in attempts or ():
        if not row.datagram and not facts.probes(row) and (to := _whose(row, facts, names)):
            sent[to].append(row)
    endings = tuple(_endings(events, pods, sent, now))
    ended = {row.pod for row in endings}
    elsewhere = tuple(_elsewhere({to: rows for to, rows in sorted(sent.items()) if to not in ended}, now))
    if not endings and not elsewhere:
        return None
    packets = attempts is not None
    worst = [
        (ending, row)
        for ending in endings
        for row in ending.machines
        if row.dropped.lost or (row.after_signal > 0 and not packets)
    ]
    late = tuple(_late(worst, delays))
    report = Blame(
        packets=packets,
        connections=sum(map(len, sent.values())),
        endings=endings,
        elsewhere=elsewhere,
        late=late,
        helps=tuple(_helps(worst, pods, elsewhere, late, delays)),
    )
    return msgspec.structs.replace(report, sentences=tuple(_sentences(report, worst)))


def leaving(events: Iterable[Event]) -> set[str]:
    """The pods that are to end and have not gone."""
    found: set[str] = set()
    for row in events:
        if row.kind == "write" and row.objects[0].startswith("pod/") and _deleted(row):
            (found.discard if GONE in row.args else found.add)(row.objects[0])
    return found


# ---- what happened ---------------------------------------------------------------------------------------------------


def _whose(row: Attempt, facts: Facts, names: Collection[str]) -> str:
    """The object that a connection went to; just the address where none of these has it, "" for one of no concern."""
    to = facts.owner(row.sent_to.address)
    if to in names:
        return to
    return str(ipaddress.ip_address(row.sent_to.address)) if facts.owner(row.asked.address) in names else ""


def _endings(
    events: Sequence[Event], pods: Mapping[str, PodFacts], sent: Mapping[str, list[Attempt]], now: int
) -> Iterator[Ending]:
    for pod, facts in pods.items():
        own = [row for row in events if pod in row.objects]
        signals = {str(row.args[0]): row.at for row in reversed(own) if row.kind == "signal"}
        hook, killed = signals.pop(HOOK, 0), signals.pop("SIGKILL", 0)
        going = _first(row for row in own if row.objects[0].startswith("endpointslice/") and _leaves(row, facts))
        if not signals or going is None:
            continue
        service = next((row for row in going.objects if row.startswith("service/")), "")
        deleted = _first(row for row in own if row.kind == "write" and row.objects[0] == pod and _deleted(row))
        name, signal = min(signals.items(), key=lambda item: item[1])
        yield Ending(
            pod=pod,
            service=service,
            deleted=deleted.at if deleted else 0,
            hook=hook,
            signal=signal,
            signal_name=name,
            killed=killed,
            slice=going.at,
            controller=going.actor,
            machines=tuple(
                _kept(machine, rules, going.at, signal, sent.get(pod, ()), now)
                for machine, rules in _without(events, service, facts, going.at).items()
            ),
        )


def _kept(machine: str, rules: int, slice_: int, signal: int, sent: Iterable[Attempt], now: int) -> Kept:
    mine = [row for row in sent if row.machine == machine or not machine]
    return Kept(
        machine=machine,
        rules=rules,
        late=(rules or now) - slice_,
        after_signal=(rules or now) - signal,
        dropped=_dropped((row for row in mine if row.at >= signal or row.reset >= signal), now),
    )


def _without(events: Iterable[Event], service: str, facts: PodFacts, since: int) -> dict[str, int]:
    """When each machine's rules led to the pod no more; 0: not yet."""
    found: dict[str, int] = {}
    for row in events:
        if row.kind == "rules" and row.actor.startswith(_KUBE_PROXY) and not found.get(row.machine):
            told = service in row.objects and not _leads(row, facts)
            found[row.machine] = row.at if row.at >= since and told else 0
    return found


def _leads(row: Event, facts: PodFacts) -> bool:
    """Whether kube-proxy says that these rules lead to the pod; of several Services at once it does not say where."""
    return any(address in str(row.args[0]).split(", ") for address in facts.addresses if len(row.args) == 1)


def _leaves(row: Event, facts: PodFacts) -> bool:
    """Whether a slice's change means that the pod is to get no more connections."""
    signs = tuple(form.format(address) for address in facts.addresses for form in ("−{}", "{} terminating", "{} not"))
    return any(str(phrase).startswith(signs) for phrase in row.args)


def _deleted(row: Event) -> bool:
    return any(str(phrase).startswith(("is to end", GONE)) for phrase in row.args)


def _dropped(attempts: Iterable[Attempt], now: int) -> Dropped:
    outcomes = [outcome for row in attempts if (outcome := row.outcome(now))]
    return Dropped(
        syns=len(outcomes),
        accepted=outcomes.count(ACCEPTED),
        refused=outcomes.count(REFUSED),
        unreachable=outcomes.count(UNREACHABLE),
        unanswered=outcomes.count(UNANSWERED),
        cut=outcomes.count(CUT),
    )


def _elsewhere(sent: Mapping[str, Sequence[Attempt]], now: int) -> Iterator[Elsewhere]:
    for name, rows in sent.items():
        accepted = min((row.at for row in rows if row.answer == ACCEPTED), default=now)
        for machine in sorted({row.machine for row in rows}):
            mine = [row for row in rows if row.machine == machine and row.outcome(now) not in (ACCEPTED, "")]
            if mine:
                starting = accepted > mine[0].at and name.startswith("pod/")
                yield Elsewhere(machine=machine, to=name, dropped=_dropped(mine, now), starting=starting)


# ---- in words --------------------------------------------------------------------------------------------------------


def _sentences(report: Blame, worst: Sequence[Culprit]) -> Iterator[str]:
    for ending, row in sorted(worst, key=lambda pair: (-pair[1].dropped.lost, -pair[1].after_signal))[:_SHOWN]:
        yield _keeping(ending, row) + (f"; {row.dropped}" if report.packets else "")
    if worst[_SHOWN:]:
        lost = sum(row.dropped.lost for _, row in worst[_SHOWN:])
        yield f"and {len(worst) - _SHOWN} more like it" + (f", {lost} connections lost" if report.packets else "")
    for other in report.elsewhere[:_SHOWN]:
        yield f"{_elsewhere_in_words(other)}: {other.dropped}"
    if report.late:
        yield f"  late: {', '.join(map(str, report.late))}"
    for ending in {ending.pod: ending for ending, _ in worst if ending.killed}.values():
        yield f"  {short(ending.pod)} was killed {spelled(ending.killed - ending.signal)} after {ending.signal_name}"
    if report.helps:
        yield f"  helps: {', or '.join(report.helps)}"
    if not report.packets:
        yield "No packets were recorded, so nobody knows what was dropped; to see: knet timeline -- COMMAND"
    elif not report.connections:
        yield "Nobody connected meanwhile, so nothing was dropped"
    elif not report.lost:
        yield f"Nothing was dropped of {_count(report.connections, 'connection')}{_margin(report.endings)}"


def _keeping(ending: Ending, row: Kept) -> str:
    pod, machine = short(ending.pod).removeprefix("pod/"), row.machine or _KUBE_PROXY
    if row.after_signal <= 0:
        return f"{machine} had let go of {pod} {spelled(-row.after_signal)} before {ending.signal_name}"
    still = "" if row.rules else " and still has it"
    return f"{machine} kept {pod} for {spelled(row.after_signal)} after {ending.signal_name}{still}"


def _elsewhere_in_words(other: Elsewhere) -> str:
    if other.to.startswith("service/"):
        return f"{other.machine} had no endpoint for {short(other.to)}"
    if "/" not in other.to:
        return f"{other.machine} sent to {other.to}, which no pod has any more (a stale tracked connection)"
    state = "did not listen yet" if other.starting else "was not ending"
    return f"{other.machine} sent to {short(other.to)}, which {state}"


def _late(worst: Sequence[Culprit], delays: Mapping[str, float]) -> Iterator[Late]:
    """Those who had to act before the signal, the slowest first."""
    spans: defaultdict[str, list[int]] = defaultdict(list)
    for ending, row in worst:
        spans[f"{_KUBE_PROXY}@{row.machine}".rstrip("@")].append(row.late)
        if ending.deleted:
            spans[ending.controller].append(ending.slice - ending.deleted)
    for who, found in sorted(spans.items(), key=lambda item: -max(item[1])):
        delay = delays.get(_delayed(who, delays), 0.0)
        yield Late(who=who, least=min(found), most=max(found), delay=round(delay * 1e9))


def _delayed(who: str, delays: Mapping[str, float]) -> str:
    """Under which name it was delayed, "" if it was not: what runs on one machine alone is told without that."""
    return next((name for name in delays if who in (name, name.partition("@")[0])), "")


def _helps(
    worst: Sequence[Culprit],
    pods: Mapping[str, PodFacts],
    elsewhere: Iterable[Elsewhere],
    late: Iterable[Late],
    delays: Mapping[str, float],
) -> Iterator[str]:
    kept = [(ending, row) for ending, row in worst if row.after_signal > 0]
    if kept:
        needed = max(row.after_signal + (ending.signal - ending.hook if ending.hook else 0) for ending, row in kept)
        seconds, grace = math.ceil(needed / 1e9 * _RESERVE), min(pods[ending.pod].grace for ending, _ in kept)
        room = "leaves room" if grace > seconds else "has to be raised above that"
        yield f"a preStop hook that sleeps {seconds} s (terminationGracePeriodSeconds {grace} {room})"
    if any(row.dropped.cut for _, row in worst):
        yield "an application that answers what it has accepted before it ends"
    if any(other.starting for other in elsewhere):
        yield "a readinessProbe that succeeds no sooner than the application listens"
    yield from (f"knet delay {name} 0" for row in late if (name := _delayed(row.who, delays)))


def _margin(endings: Sequence[Ending]) -> str:
    rows = [(ending, row) for ending in endings for row in ending.machines]
    if not rows:
        return ""
    ending, row = max(rows, key=lambda pair: pair[1].after_signal)
    if row.after_signal > 0 and (accepted := row.dropped.accepted):
        return f": {_keeping(ending, row)}, and it went on to accept: {_count(accepted, 'connection')}"
    if row.after_signal > 0:
        return f", by luck: {_keeping(ending, row)}, and nobody asked it"
    last = f"{row.machine or _KUBE_PROXY} of {short(ending.pod)}"
    return f": the last to let go of a pod, {last}, did so {spelled(-row.after_signal)} before {ending.signal_name}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _first(rows: Iterable[Event]) -> Event | None:
    return next(iter(rows), None)
