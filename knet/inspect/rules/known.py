"""What tells a line to be of an object: the name that comments have, its addresses.  Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from knet.api.objects import Pod, Service
from knet.inspect import desired
from knet.inspect.explain.explain import Subject
from knet.inspect.explain.kernel import Held
from knet.inspect.explain.objects import find
from knet.inspect.explain.picture import Section, is_flannels
from knet.inspect.world import World, addresses_of
from knet.policy.table import FAMILY, NAME

_POLICIES = f"{FAMILY} {NAME}"
#: kind → the sections that can be about an object of it; a policy may be called as a Service is
_CONCERNS: Mapping[str, Callable[[Section], bool]] = {
    "Service": lambda section: section.kind != _POLICIES,
    "Pod": lambda section: True,
    "NetworkPolicy": lambda section: section.kind == _POLICIES,
    "Node": is_flannels,
}


@dataclass(frozen=True)
class Known:
    """What tells lines to be of an object: its name as comments have it, its addresses."""

    words: re.Pattern[str]
    names: re.Pattern[str]
    """of chains and sets"""
    kind: str

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
            re.compile(rf"(?<![\w./-])(?:{either})(?:/32|/128)?(?![\w/-]|\.\w)"),
            re.compile(rf"(?<![\w.]){name}(?:$|/)"),
            subject.kind,
        )

    def line(self, section: Section, text: str) -> bool:
        """Whether a line is about the object."""
        return _CONCERNS[self.kind](section) and bool(self.words.search(text))

    def section(self, section: Section, held: Iterable[Held]) -> bool:
        """Whether a section that nobody expects is of the object."""
        if not _CONCERNS[self.kind](section):
            return False
        return bool(self.names.search(section.name)) or any(self.line(section, row.text) for row in held)
