"""Who did it: from what was expected and what was seen to the culprit, in a sentence, and what mends it.  Pure.

Diagnosers are asked in the order of `DIAGNOSERS`; the first that recognises its fault has the word.  What the objects
themselves foretell comes first, then what was seen to happen (`happened`), then what is missing where the packet was
seen last, from its own site outwards (`unrouted`, `missing`).
"""

import re
from collections.abc import Callable

from knet.inspect.predict import happened, missing, unrouted
from knet.inspect.predict.case import Case
from knet.inspect.trace.evidence import DELIVERED, Diagnosis, Evidence, Prediction
from knet.inspect.trace.hops import Hop
from knet.inspect.world import World

Diagnoser = Callable[[Case], Diagnosis | None]


def diagnose(world: World, prediction: Prediction, evidence: Evidence) -> Diagnosis | None:
    """Why a probe did not do what it was meant to, or what it should have done; None where it did both."""
    if evidence.outcome == prediction.outcome == DELIVERED:
        return None
    case = Case(world, prediction, evidence)
    return next((found for diagnoser in DIAGNOSERS if (found := diagnoser(case))), None)


def as_predicted(case: Case) -> Diagnosis | None:
    """It ended as it had to, where it had to."""
    expected = case.prediction
    if DELIVERED in (expected.outcome, case.evidence.outcome):
        return None
    before = [hop.key for hop in expected.hops[:-1] if hop.kind not in ("filter", "route")]
    if expected.hops[-1].site != case.site and not case.seen.issuperset(before):
        return None
    remedy = _REMEDIES[expected.culprit](case) if expected.culprit in _REMEDIES else ""
    return Diagnosis(f"{case.sentence(expected.text)}.", expected.culprit, expected.because, remedy=remedy)


def not_enforced(case: Case) -> Diagnosis | None:
    """It got through, although a policy forbids it."""
    expected = case.prediction
    if case.evidence.outcome != DELIVERED or expected.culprit != "policy":
        return None
    site, text = expected.hops[-1].site, f"{case.sentence(expected.text)}, but it got through: "
    if case.unbridged(site):
        return case.unbridged_diagnosis(site, text, expected.because)
    remedy = f"knet restart network-agent@{site}"
    return Diagnosis(f"{text}the rules on {site} are not in force.", "policy", expected.because, remedy=remedy)


def unforeseen(case: Case) -> Diagnosis:
    """None of these: where it was seen last, and what should have come next."""
    delivered = case.evidence.outcome == DELIVERED
    text = (
        f"It got through, although {case.prediction.text}" if delivered else f"It was seen last at: {_told(case.last)}"
    )
    following = _told(case.missing) if case.missing else ""
    return Diagnosis(f"{text}.", "unknown", case.prediction.because, following)


def _told(hop: Hop) -> str:
    return " ".join(filter(None, (hop.kind, hop.site, hop.interface, hop.verdict)))


def _policy(case: Case) -> str:
    return f"let a policy allow it: kubectl edit networkpolicy {_first(case)}"


def _endpoints(case: Case) -> str:
    return f"look for its pods: kubectl describe service {_first(case)}"


def _port(case: Case) -> str:
    return f"ask a port that it has: kubectl get service {_first(case)}"


def _first(case: Case) -> str:
    """The object of a prediction's first cause, for kubectl: ``deny -n shop``."""
    cause = next(iter(case.prediction.because))
    return f"{cause.name} -n {cause.namespace}"


def _cable(case: Case) -> str:
    cause = next(iter(case.prediction.because))
    return f"knet link {cause.name.replace('–', ' ')} --up"


def _machine(case: Case) -> str:
    """The text is of the form "n2 is off"."""
    words = re.search(r"(\S+) is (\w+)$", case.prediction.text)
    return f"knet machine {'boot' if words[2] == 'off' else 'resume'} {words[1]}" if words else ""


#: what mends what was foretold
_REMEDIES: dict[str, Callable[[Case], str]] = {
    "policy": _policy,
    "no-endpoints": _endpoints,
    "no-such-port": _port,
    "link-down": _cable,
    "machine-off": _machine,
    "partition": lambda case: "knet heal",
}

#: in the order in which they are asked
DIAGNOSERS: tuple[Diagnoser, ...] = (
    as_predicted,
    not_enforced,
    happened.refused_by_rule,
    happened.translated_otherwise,
    missing.does_not_forward,
    unrouted.leads_nowhere,
    happened.not_translated,
    happened.nobody_listens,
    unrouted.no_way_back,
    unrouted.another_route,
    missing.interface_down,
    missing.too_large,
    missing.no_forwarding_entry,
    missing.no_neighbour,
    missing.not_bridged_by_rules,
    missing.lost_on_link,
    unforeseen,
)
