"""A trace, for people: numbered hops with what caused each, and a sentence at the end.  Pure."""

from collections.abc import Callable, Iterator, Sequence

from rich.markup import escape

from knet.inspect.observe.mark import TABLE
from knet.inspect.trace.evidence import DELIVERED, DROPPED, REFUSED
from knet.inspect.trace.hops import BACK, THERE, Cause, Hop, Passage, ends
from knet.inspect.trace.tracing import Trace

_INDENT = 4


def lines(trace: Trace) -> Iterator[str]:
    """The whole report, with rich's markup."""
    packet = trace.probe.packet
    source, target = ends(packet.source, packet.source_port), ends(packet.destination, packet.destination_port)
    live = "live " if trace.probe.live else ""
    yield f"{live}{packet.protocol} {escape(source)} → {escape(target)}  [dim]{escape(trace.probe.target)}[/]"
    number, before = 0, 0
    for way, title in ((THERE, ""), (BACK, "and back")):
        hops = [(at, hop) for at, hop in enumerate(trace.hops) if hop.way == way]
        if hops and title:
            yield f"[dim]{title}[/]"
        for at, hop in hops:
            number += 1
            yield from _hop(number, hop, before)
            before = hop.at or before
            rows = (row for row in trace.findings if row.at == at and not (row.ends and trace.diagnosis))
            yield from (f"{'':{_INDENT}}[bold yellow]differs[/]  {escape(row.text)}" for row in rows)
    yield from _end(trace)


def _hop(number: int, hop: Hop, before: int) -> Iterator[str]:
    where = f"{short(hop.site)} {_WHERE.get(hop.kind, hop.interface)}".strip()
    passed = f"+{_duration(hop.at - before)}" if hop.at and before else "0" if hop.at else ""
    yield f"{number:2}  {where:<24} {_WHAT[hop.kind](hop)}{f'   [dim]{passed}[/]' if passed else ''}"
    if hop.chains and hop.kind != "filter":
        yield f"{'':{_INDENT}}{'':24} [dim]{chains(hop.chains)}[/]"
    causes = [str(cause) for cause in hop.because if not _is_said(cause, hop)]
    if causes:
        yield f"{'':{_INDENT}}{'':24} [dim]because[/]  {escape(' · '.join(causes))}"


def _is_said(cause: Cause, hop: Hop) -> bool:
    """Whether the line itself names the object."""
    return cause.name == hop.link or hop.site == f"pod/{cause.namespace}/{cause.name}"


def short(site: str) -> str:
    """Without the default namespace."""
    return site.replace("pod/default/", "pod/", 1)


def _packet(hop: Hop) -> str:
    packet = hop.packet
    words = [
        escape(str(packet)),
        packet.flags,
        f"ttl {packet.ttl}" if packet.ttl else "",
        f"mtu {hop.mtu}" if hop.mtu else "",
    ]
    return " ".join(filter(None, words))


def _nat(hop: Hop) -> str:
    row = hop.translation
    return f"[bold]{row.kind}[/]  {escape(row.before)} → {escape(row.after)}" if row else ""


def _route(hop: Hop) -> str:
    if hop.verdict:
        return f"[bold red]{hop.verdict}[/]  {hop.packet.destination}"
    row = hop.neighbour
    neighbour = f"   [dim]neigh {row.mac or '?'} {row.state}[/]" if row else ""
    return f"{hop.route}{neighbour}"


def _tunnel(hop: Hop) -> str:
    row = hop.encapsulation
    if row is None:
        return "[bold red]not packed[/]"
    fdb = f"   [dim]fdb {hop.fdb.mac} dst {hop.fdb.destination}[/]" if hop.fdb else ""
    return f"[bold]VXLAN[/] vni {row.vni}  {row.source} > {row.destination}:{row.port}  +{row.overhead} bytes{fdb}"


def _untunnel(hop: Hop) -> str:
    return f"unpacked  {_packet(hop)}"


def _link(hop: Hop) -> str:
    return f"link {hop.link}{f'  [bold]{hop.queue}[/]' if hop.queue else ''}"


def _deliver(hop: Hop) -> str:
    if hop.way == THERE:
        return "[bold green]delivered[/]"
    flags = hop.packet.flags
    return f"got the answer{f': {flags}' if flags else ''}"


_WHERE = {"route": "route", "deliver": "", "switch": ""}
_WHAT: dict[str, Callable[[Hop], str]] = {
    "leave": lambda hop: f"out  {f'port {hop.port}  ' if hop.port else ''}{_packet(hop)}",
    "enter": lambda hop: f"in   {f'port {hop.port}  ' if hop.port else ''}{_packet(hop)}",
    "nat": _nat,
    "filter": lambda hop: f"accept  [dim]{chains(hop.chains)}[/]",
    "route": _route,
    "tunnel": _tunnel,
    "untunnel": _untunnel,
    "link": _link,
    "switch": lambda hop: f"{hop.port} → {hop.interface}",
    "deliver": _deliver,
    "drop": lambda hop: f"[bold red]DROPPED[/]  {hop.verdict}",
    "reject": lambda hop: f"[bold red]REFUSED[/]  {hop.verdict}",
}


def chains(passages: Sequence[Passage]) -> str:
    """``nat PREROUTING › KUBE-SERVICES › KUBE-SVC-…``: by which chains it came to the one that decided, of each base
    chain."""
    found: list[list[Passage]] = []
    for row in passages:
        if row.hook:
            found.append([row])
        elif found:
            names = [passed.chain for passed in found[-1]]
            if row.chain in names:  # returned to it
                del found[-1][names.index(row.chain) + 1 :]
            else:
                found[-1].append(row)
    return ", ".join(f"{path[0].table} {' › '.join(row.chain for row in path)}" for path in found)


def _end(trace: Trace) -> Iterator[str]:
    found = trace.diagnosis
    if trace.outcome == DELIVERED:
        yield f"[bold green]Delivered.[/] {_answer(trace)}"
    verdict = {REFUSED: "[bold red]Refused:[/] ", DROPPED: "[bold red]Dropped:[/] "}.get(trace.outcome, "")
    if found:
        yield f"{verdict}{escape(found.text)}"
        rows = ("expected", found.expected), ("because", " · ".join(map(str, found.because))), ("mend", found.remedy)
        yield from (f"{'':{_INDENT}}[dim]{what:<9}[/] {escape(text)}" for what, text in rows if text)
    elif verdict:
        yield f"{verdict}as expected: {escape(trace.prediction.text)}"
    yield from (f"{'':{_INDENT}}[dim]goes on[/]   by a connection of its own: knet trace {row}" for row in trace.onward)
    if trace.evidence.error:
        yield f"{'':{_INDENT}}[dim]told[/]      {short(trace.probe.site)}: {trace.evidence.error}"
    if trace.ruled:
        yield f"[dim]{', '.join(trace.ruled)} had the table {TABLE} for the time of the trace; --no-rules: none[/]"


def _answer(trace: Trace) -> str:
    back = [hop for hop in trace.hops if hop.way == BACK]
    if not back:
        return "Nobody answered, which a datagram does not need."
    undone = list(dict.fromkeys(hop.site for hop in back if hop.kind == "nat"))
    nat = f", NAT undone on {', '.join(undone)} (conntrack)" if undone else ""
    times = [hop.at for hop in trace.hops if hop.at]
    whole = max(times) - min(times)
    return f"The answer came back{nat}. Round trip {_duration(whole)}{_on_links(trace.hops)}."


def _on_links(hops: Sequence[Hop]) -> str:
    """How much of the time was on links that hold packets back."""
    spent, before = 0, 0
    for hop in hops:
        if hop.kind == "link" and hop.queue and hop.at and before:
            spent += hop.at - before
        before = hop.at or before
    return f", {_duration(spent)} of it on links" if spent else ""


def _duration(nanoseconds: int) -> str:
    if nanoseconds >= 1_000_000:
        return f"{nanoseconds / 1e6:.1f} ms"
    return f"{nanoseconds / 1e3:.0f} µs"


def plain(value: object) -> object:
    """For JSON: dataclasses and named tuples as objects, without what is empty."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: plain(row) for key, row in value._asdict().items() if row not in ("", (), None, 0)}
    if hasattr(value, "__dataclass_fields__"):
        names = value.__dataclass_fields__
        rows = {name: getattr(value, name) for name in names}
        return {key: plain(row) for key, row in rows.items() if row not in ("", (), None, 0)}
    if isinstance(value, (tuple, list)):
        return [plain(row) for row in value]
    return value


def document(trace: Trace) -> object:
    """What ``--json`` prints."""
    return {
        "probe": plain(trace.probe),
        "outcome": trace.outcome,
        "error": trace.evidence.error,
        "hops": plain(trace.hops),
        "findings": [{"hop": row.at + 1, "text": row.text} for row in trace.findings],
        "expected": {
            "outcome": trace.prediction.outcome,
            "text": trace.prediction.text,
            "hops": plain(trace.prediction.hops),
        },
        "diagnosis": plain(trace.diagnosis),
    }
