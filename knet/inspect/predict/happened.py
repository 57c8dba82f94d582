"""Diagnosers of what was seen to happen: a rule's verdict, a translation, a refusal by the kernel.  Pure."""

from knet.inspect.attribution import attribution
from knet.inspect.predict.case import Case
from knet.inspect.predict.telling import POD
from knet.inspect.trace.evidence import DELIVERED, Diagnosis
from knet.inspect.trace.hops import THERE, Cause, Hop
from knet.policy.table import NAME as POLICIES

#: hops that come after addresses are translated
_ROUTED = ("filter", "leave", "link", "tunnel")


def refused_by_rule(case: Case) -> Diagnosis | None:
    """A rule's verdict, and whose rule that is."""
    end = case.end
    if end.kind not in ("drop", "reject") or not end.chains:
        return None
    passage, machine = end.chains[-1], case.machine_of(end.site)
    found = [cause for row in end.chains for cause in attribution(case.world, machine).passage(row)]
    verb = "rejected" if end.kind == "reject" else "dropped"
    where = f"chain {passage.chain} ({passage.family} {passage.table})"
    if passage.table == POLICIES:
        named = tuple(cause for cause in found if cause.kind == "NetworkPolicy")
        text = f"{machine} {verb} it by {where}, though no policy forbids it: the rules there are not up to date."
        return Diagnosis(text, "policy", named, remedy=f"knet restart network-agent@{machine}")
    if any(cause.kind == "Service" or cause.name.startswith("kube-proxy@") for cause in found):
        text = f"{machine} {verb} it by {where}: kube-proxy has not taken over what the API says."
        return Diagnosis(text, "no-service-rules", tuple(found), remedy=f"knet restart kube-proxy@{machine}")
    rule = passage.rules[-1] if passage.rules else None
    text = f"{machine} {verb} it by a rule that is not the cluster's, in {where}" + (f": {rule.text}" if rule else "")
    remedy = f"knet exec {machine} -- nft delete rule {passage.family} {passage.table} {passage.chain} handle "
    return Diagnosis(f"{text}.", "rule", remedy=f"{remedy}{rule.handle}" if rule and rule.handle else "")


def translated_otherwise(case: Case) -> Diagnosis | None:
    """A tracked connection goes on as its first packet went; rules that are not up to date lead to what has gone."""
    for seen in case.evidence.hops:
        if seen.kind != "nat" or seen.way != THERE or not seen.translation or seen.translation.kind != "DNAT":
            continue
        expected, after = case.expected("nat", seen.site), seen.translation.after
        wanted = expected.translation if expected else None
        right = (wanted.among or (wanted.after,)) if wanted else ()
        if after in right:
            continue
        because = expected.because if expected else case.prediction.because
        # rules of type nat are asked about a connection's first packet only
        told = any(hop.chains for hop in case.evidence.hops if hop.site == seen.site)
        known = case.evidence.known_before.get(seen.site, ())
        if (told and not seen.chains) or any(flow.answered_by == after.rpartition(":")[0] for flow in known):
            text = (
                f"{seen.site} still tracks an earlier connection of the same ports, and sends this to {after} as well."
            )
            packet = case.evidence.probe.packet
            flow = f"-p {packet.protocol} -s {packet.source} --sport {packet.source_port}"
            remedy = f"knet exec {seen.site} -- conntrack -D {flow}"
            return Diagnosis(text, "stale-conntrack", because, " or ".join(right), remedy)
        text = f"kube-proxy's rules on {seen.site} lead to {after}, which is no endpoint."
        remedy = f"knet restart kube-proxy@{seen.site}"
        return Diagnosis(text, "no-service-rules", because, " or ".join(right), remedy)
    return None


def not_translated(case: Case) -> Diagnosis | None:
    """The Service's rules should have caught it on a machine that it has left, or wanted to, without being changed."""
    for expected, seen in case.visited("nat"):
        wanted, at = expected.translation, (expected.site, expected.way)
        if seen is not None or wanted is None or wanted.kind != "DNAT":
            continue
        on = any(hop.kind in _ROUTED and (hop.site, hop.way) == at for hop in case.evidence.hops)
        if not on:  # it ended before that was to be seen
            text = f"{expected.site} has no way to {wanted.after}."
            return Diagnosis(text, "no-route", expected.because, remedy=case.restored(expected.site, ()))
        of = next((cause for cause in expected.because if cause.kind in ("Service", "Pod")), None)
        text = f"{expected.site} does not translate {of}: its rules are not there."
        owner = "kubelet" if of and of.kind == "Pod" else "kube-proxy"
        remedy = f"knet restart {owner}@{expected.site}, if it runs: knet components"
        return Diagnosis(text, "no-service-rules", expected.because, wanted.after, remedy)
    return None


def nobody_listens(case: Case) -> Diagnosis | None:
    """It got there, and no socket waits for it."""
    target = next((hop for hop in case.prediction.hops if hop.kind == "deliver"), None)
    if case.evidence.outcome == DELIVERED or not target or target.way != THERE or target.packet.protocol == "icmp":
        return None
    there = case.evidence.lookups.get(target.site)
    arrived = next((hop for hop in case.evidence.hops if (hop.site, hop.way) == (target.site, THERE)), None)
    port = target.packet.destination_port
    if there is None or arrived is None or port in there.listening:
        return None
    who = case.named(target.site)
    what = f"on {', '.join(map(str, sorted(there.listening)))}" if there.listening else "on no port at all"
    service = _service(case.prediction.hops)
    causes: tuple[Cause, ...] = (service,) if service else ()
    remedy = ""
    if service and target.site.startswith(POD):
        remedy = f"set its targetPort right: kubectl edit service {service.name} -n {service.namespace}"
    text = f"Nobody listens on {target.packet.protocol} port {port} in {who}."
    return Diagnosis(text, "not-listening", causes, f"{who} listens {what}", remedy)


def _service(hops: tuple[Hop, ...]) -> Cause | None:
    return next((cause for hop in hops for cause in hop.because if cause.kind == "Service"), None)
