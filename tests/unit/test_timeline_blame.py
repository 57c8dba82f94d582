"""Who is to blame for dropped connections: reports on what signals, slices, rules and packets say."""

import ipaddress
from collections.abc import Iterable

import pytest

from knet.inspect.timeline.attempts import ACCEPTED, REFUSED, Attempt
from knet.inspect.timeline.blame import Blame, blame, leaving
from knet.inspect.timeline.event import Event
from knet.inspect.timeline.facts import Facts
from knet.inspect.timeline.segments import End

MS = 1_000_000


def at(milliseconds: int) -> int:
    """Since web-a's deletion."""
    return (1000 + milliseconds) * MS


NOW = at(4000)
POD, SERVICE, SLICE = "pod/default/web-a", "service/default/web", "endpointslice/default/web-x"
NAMES = {POD, SERVICE, SLICE, "pod/default/web-b"}
CLIENT = End(bytes([9, 9, 9, 9]), 1)
VIP = End(bytes([10, 96, 0, 7]), 80)
A, B = "10.244.1.5", "10.244.2.5"


def facts(grace: int = 30) -> Facts:
    known = Facts()
    for name, node, address in (("web-a", "n1", A), ("web-b", "n2", B)):
        spec = {"nodeName": node, "terminationGracePeriodSeconds": grace}
        status = {"podIPs": [{"ip": address}]}
        known.learn({"kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": status})
    service = {"kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
    known.learn({**service, "spec": {"clusterIPs": ["10.96.0.7"]}})
    return known


def signal(when: int, name: str) -> Event:
    return Event(at=at(when), actor="kubelet@n1", kind="signal", objects=(POD,), args=(name, "web", 12))


def rules(when: int, machine: str, *to: str) -> Event:
    return Event(at=at(when), actor=f"kube-proxy@{machine}", kind="rules", objects=(SERVICE,), args=(", ".join(to),))


def write(when: int, *objects: str, phrase: str) -> Event:
    return Event(at=at(when), actor="kube-controller-manager", kind="write", objects=objects, args=(phrase,))


def ending(hook: int = 0, n1: int = 20, n2: int = 350, slice_: int = 10, name: str = "SIGTERM") -> list[Event]:
    """web-a is deleted at 0, has its signal 5 ms after that or after its preStop hook."""
    signals = [signal(5, "preStop hook")] if hook else []
    rows = [
        rules(-9, "n1", A, B), rules(-9, "n2", A, B),
        write(0, POD, phrase="is to end within 30 s"),
        *signals, signal(5 + hook, name),
        write(slice_, SLICE, SERVICE, POD, phrase=f"{A} terminating"),
        rules(n1, "n1", B), rules(n2, "n2", B),
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.at)


def tried(ats: Iterable[int], machine: str, address: str, answer: str = REFUSED) -> list[Attempt]:
    to = End(ipaddress.ip_address(address).packed, 8080)
    return [Attempt(at(ms), CLIENT, VIP, to, machine, answered=at(ms) + 1, answer=answer) for ms in ats]


def judged(
    events: list[Event], attempts: list[Attempt] | None, delays: dict[str, float] | None = None, grace: int = 30
) -> Blame:
    found = blame(events, facts(grace), NAMES, attempts, delays or {}, NOW)
    assert found is not None
    return found


LATE = tried(range(10, 340, 30), "n2", A)
FINE = tried(range(0, 400, 10), "n2", B, ACCEPTED)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (
            judged(ending(), LATE + FINE, {"kube-proxy@n2": 0.3}),
            """\
n2 kept web-a for 345 ms after SIGTERM; 11 SYNs hit it, 11 RSTs
  late: kube-proxy@n2 took 340 ms, 300 ms of that by knet delay, kube-controller-manager took 10 ms
  helps: a preStop hook that sleeps 1 s (terminationGracePeriodSeconds 30 leaves room), or knet delay kube-proxy@n2 0
""",
        ),
        (
            judged(ending(slice_=900, n1=910, n2=910), tried([800], "n1", A), {"kube-controller-manager@cp1": 0.5}, 1),
            """\
n1 kept web-a for 905 ms after SIGTERM; 1 SYN hit it, 1 RST
  late: kube-controller-manager took 900 ms, 500 ms of that by knet delay, kube-proxy@n1 took 10 ms
  helps: a preStop hook that sleeps 2 s (terminationGracePeriodSeconds 1 has to be raised above that), \
or knet delay kube-controller-manager@cp1 0
""",
        ),
        (
            judged(
                [*ending(name="SIGQUIT"), signal(400, "SIGKILL")],
                tried([5, 6], "n2", A, "") + tried([7], "n2", A, ACCEPTED),
            ),
            """\
n2 kept web-a for 345 ms after SIGQUIT; 3 SYNs sent to it, 2 unanswered, 1 accepted
  late: kube-proxy@n2 took 340 ms, kube-controller-manager took 10 ms
  pod/web-a was killed 395 ms after SIGQUIT
  helps: a preStop hook that sleeps 1 s (terminationGracePeriodSeconds 30 leaves room)
""",
        ),
        (
            judged(ending(hook=1000), FINE),
            """\
Nothing was dropped of 40 connections: the last to let go of a pod, n2 of pod/web-a, did so 655 ms before SIGTERM
""",
        ),
        (
            judged(ending(), FINE),
            """\
Nothing was dropped of 40 connections, by luck: n2 kept web-a for 345 ms after SIGTERM, and nobody asked it
""",
        ),
        (
            judged(ending(), FINE + tried([7, 50], "n2", A, ACCEPTED)),
            """\
Nothing was dropped of 42 connections: n2 kept web-a for 345 ms after SIGTERM, and it went on to accept: 2 connections
""",
        ),
        (judged(ending(), []), "Nobody connected meanwhile, so nothing was dropped\n"),
        (
            judged(ending()[:-1], None),
            """\
n2 kept web-a for 4 s after SIGTERM and still has it
n1 kept web-a for 15 ms after SIGTERM
  late: kube-proxy@n2 took 3.99 s, kube-proxy@n1 took 10 ms, kube-controller-manager took 10 ms
  helps: a preStop hook that sleeps 6 s (terminationGracePeriodSeconds 30 leaves room)
No packets were recorded, so nobody knows what was dropped; to see: knet timeline -- COMMAND
""",
        ),
        (
            judged([], tried([1, 2], "n1", B) + tried([3], "n1", B, ACCEPTED)),
            """\
n1 sent to pod/web-b, which did not listen yet: 2 SYNs hit it, 2 RSTs
  helps: a readinessProbe that succeeds no sooner than the application listens
""",
        ),
        (
            judged([], tried([1], "n1", "10.96.0.7") + tried([1, 2], "n1", "10.244.1.77")),
            """\
n1 sent to 10.244.1.77, which no pod has any more (a stale tracked connection): 2 SYNs hit it, 2 RSTs
n1 had no endpoint for service/web: 1 SYN hit it, 1 RST
""",
        ),
    ],
)
def test_the_report(report: Blame, text: str) -> None:
    assert report.text == text


def test_numbers_for_programs() -> None:
    report = judged(ending(), LATE + FINE)
    [only] = report.endings
    kept = {row.machine: (row.after_signal // MS, row.dropped.refused) for row in only.machines}
    assert (only.pod, only.service, kept) == (POD, SERVICE, {"n1": (15, 0), "n2": (345, 11)})
    assert (report.lost, report.connections, report.late[0].who) == (11, 51, "kube-proxy@n2")


def test_what_does_not_concern_the_objects_is_not_told() -> None:
    assert blame(ending(), facts(), {"pod/default/other"}, LATE, {}, 0) is None
    assert blame([], facts(), NAMES, FINE, {}, 0) is None


def test_a_kubelets_probe_is_no_request() -> None:
    address = ipaddress.ip_address(A).packed
    probe = Attempt(at(6), End(bytes([10, 0, 0, 1]), 1), End(address, 80), End(address, 80), "n1", 7, REFUSED)
    known = facts()
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
    known.learn({"kind": "Node", "metadata": {"name": "n1"}, **node})
    report = blame(ending(), known, NAMES, [probe], {}, NOW)
    assert report is not None and (report.lost, report.connections) == (0, 0)


def test_pods_that_are_about_to_end() -> None:
    going, gone = write(0, POD, phrase="is to end within 30 s"), write(9, POD, phrase="gone")
    assert (leaving([going]), leaving([going, gone])) == ({POD}, set())
