"""What tells a line to be of an object: the name that comments have, its addresses.  Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from knet.api.objects import Pod, Service
from knet.inspect import desired
from knet.inspect.explain.explain import Subject
from knet.inspect.explain.kernel import Held
from knet.inspect.explain.objects import find
from knet.inspect.explain.picture import Section
from knet.inspect.explain.spelling import meaning
from knet.inspect.world import World, addresses_of
from knet.policy.table import FAMILY, NAME

_POLICIES = f"{FAMILY} {NAME}"


@dataclass(frozen=True)
class Known:
    """What tells lines to be of an object: its name as comments have it, its addresses."""

    words: re.Pattern[str]
    names: re.Pattern[str]
    """of chains and sets"""
    policy: bool

    @classmethod
    def of(cls, world: World, subject: Subject) -> "Known":
        said = [str(subject.key)] if subject.key.namespace else []
        there = find(world, subject.kind, subject.key)
        if isinstance(there, Service):
            said += addresses_of(there)
        elif isinstance(there, Pod) and not there.spec.hostNetwork:
            said += (row.ip for row in there.status.podIPs)
        elif subject.kind == "Node":
            for family in world.settings.families:
                if lease := desired.leases(world, family).get(subject.key.name):
                    gateway = lease.subnet.partition("/")[0]
                    said += [lease.subnet, gateway, lease.public_ip, *([lease.vtep.VtepMAC] if lease.vtep else [])]
        either = "|".join(map(re.escape, filter(None, said))) or "(?!)"
        name = re.escape(str(subject.key)) if subject.key.namespace else "(?!)"
        return cls(
            re.compile(rf"(?<![\w./-])(?:{either})(?![\w/-]|\.\w)"),
            re.compile(rf"(?<![\w.]){name}(?:$|/)"),
            subject.kind == "NetworkPolicy",
        )

    def line(self, section: Section, text: str) -> bool:
        """Whether a line is about the object.  A policy may be called as a Service is."""
        mine = self.policy == (section.kind == _POLICIES)
        return (mine or section.kind == _POLICIES) and bool(self.words.search(meaning(section, text)))

    def section(self, section: Section, held: Iterable[Held]) -> bool:
        """Whether a section that nobody expects is of the object."""
        mine = self.policy == (section.kind == _POLICIES)
        return mine and (bool(self.names.search(section.name)) or any(self.line(section, row.text) for row in held))
