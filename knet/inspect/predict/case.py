"""A probe that did not get through, put together: what was expected, what was seen, where the two part.  Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from knet.api.families import family_of
from knet.inspect.attribution import Causes
from knet.inspect.predict.telling import POD, key_of_site
from knet.inspect.trace.evidence import Diagnosis, Evidence, Lookups, Prediction
from knet.inspect.trace.hops import THERE, Hop, Key, bare
from knet.inspect.world import World

#: told by rules' traces alone: where no rule had anything to say, there is no such hop
_SILENT = ("filter",)
#: by which a packet is given another destination
_ARRIVING = ("DNAT", "undo SNAT")
_BRIDGED = {"IPv4": "net.bridge.bridge-nf-call-iptables", "IPv6": "net.bridge.bridge-nf-call-ip6tables"}


@dataclass(frozen=True)
class Case:
    """What diagnosers look at."""

    world: World
    prediction: Prediction
    evidence: Evidence

    @cached_property
    def last(self) -> Hop:
        """Where the packet, or its answer, was seen last; before anything was seen, where it should have begun."""
        probe = self.evidence.probe
        return self.evidence.hops[-1] if self.evidence.hops else Hop("leave", probe.site, packet=probe.packet)

    @cached_property
    def end(self) -> Hop:
        """Where it was refused, if it was, though its sender has been told; else where it was seen last."""
        return next((hop for hop in self.evidence.hops if hop.kind == "reject"), self.last)

    @property
    def site(self) -> str:
        return self.last.site

    @property
    def machine(self) -> str:
        """The machine that the last site is, or is on."""
        return self.machine_of(self.site)

    def machine_of(self, site: str) -> str:
        return self.world.pods[key_of_site(site)].spec.nodeName if site.startswith(POD) else site

    @cached_property
    def at(self) -> Lookups:
        """What the kernel of the last site says."""
        return self.asked(self.site)

    def asked(self, site: str) -> Lookups:
        """What the kernel of a site says, nothing where it was not asked."""
        return self.evidence.lookups.get(site) or Lookups(site, self.last.packet)

    @cached_property
    def seen(self) -> frozenset[Key]:
        return frozenset(hop.key for hop in self.evidence.hops)

    @cached_property
    def missing(self) -> Hop | None:
        """The first hop that was expected and not seen; None where all were."""
        return next((hop for hop in self.prediction.hops if hop.kind not in _SILENT and hop.key not in self.seen), None)

    @property
    def stayed(self) -> bool:
        """Whether the packet was last seen in a machine, not on its way out of it."""
        return is_inside(self.last)

    @cached_property
    def untold(self) -> Hop | None:
        """The new destination that it should have been given where it ended, of which nothing that was seen tells."""
        at = self.end.site, self.end.way
        rows = (hop for hop in self.prediction.hops if hop.kind == "nat" and (hop.site, hop.way) == at)
        due = (hop for hop in rows if hop.translation and hop.translation.kind in _ARRIVING)
        return next((hop for hop in due if is_inside(self.end) and hop.key not in self.seen), None)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The addresses that it may have been given then."""
        found = self.untold.translation if self.untold else None
        return tuple(dict.fromkeys(map(bare, found.among or (found.after,)))) if found else ()

    def expected(self, kind: str, site: str, way: str = THERE) -> Hop | None:
        """The hop of that kind that was expected there; of two the first."""
        rows = (hop for hop in self.prediction.hops if (hop.kind, hop.site, hop.way) == (kind, site, way))
        return next(rows, None)

    def observed(self, kind: str, site: str, way: str = THERE) -> Hop | None:
        """Likewise, that was seen."""
        rows = (hop for hop in self.evidence.hops if (hop.kind, hop.site, hop.way) == (kind, site, way))
        return next(rows, None)

    def visited(self, kind: str) -> Iterator[tuple[Hop, Hop | None]]:
        """The expected hops of a kind at sites where the packet has been, and what was seen of each."""
        been = {(hop.site, hop.way) for hop in self.evidence.hops}
        by_key = {hop.key: hop for hop in self.evidence.hops}
        for hop in self.prediction.hops:
            if hop.kind == kind and (hop.site, hop.way) in been:
                yield hop, by_key.get(hop.key)

    # ---- words ---------------------------------------------------------------------------------------------------

    def sentence(self, text: str) -> str:
        """With a capital letter, but for the names of machines."""
        return text if text.partition(" ")[0] in self.world.topology.by_name else text[:1].upper() + text[1:]

    def named(self, site: str) -> str:
        """``n1``, ``pod default/web-0``"""
        return f"pod {key_of_site(site)}" if site.startswith(POD) else site

    def restored(self, site: str, causes: Causes) -> str:
        """Who puts a machine's routes, neighbours and forwarding entries right, or a pod's."""
        if site.startswith(POD):
            return f"kubectl delete pod {key_of_site(site).name} -n {key_of_site(site).namespace}"
        if site not in self.world.nodes or any(cause.kind == "Topology" for cause in causes):
            return f"knet machine reboot {site}"
        return f"flanneld repairs it at its next sync, or now: knet restart network-agent@{site}"

    # ---- bridges -------------------------------------------------------------------------------------------------

    @property
    def bridged_setting(self) -> str:
        return _BRIDGED[family_of(self.last.packet.destination)]

    def unbridged(self, site: str) -> bool:
        """Whether frames between ports of a bridge there pass no rules."""
        lookups = self.evidence.lookups.get(site)
        return lookups is not None and lookups.sysctls.get(self.bridged_setting) == "0"

    def unbridged_diagnosis(self, site: str, before: str, because: Causes) -> Diagnosis:
        """… and what that led to."""
        text = f"{before}frames between pods of {site} do not pass by its rules, as {self.bridged_setting} is 0."
        return Diagnosis(
            self.sentence(text), "bridge-nf", because, f"{self.bridged_setting}=1", self.restored(site, ())
        )


def is_inside(hop: Hop) -> bool:
    """Whether the packet is in a machine or a pod then, not on its way out of it."""
    return hop.kind not in ("leave", "link", "switch", "tunnel")
