"""Filter expressions with the names of the cluster: ``host svc/web`` is ``host 10.96.71.12``.

Where several addresses have one name, all are meant: ``src host pod/web-0`` becomes ``src host (10.244.1.2 or
fd00:10:244:1::2)``, which pcap-filter(7) understands.  Pure.
"""

import re

from knet.errors import KnetError
from knet.inspect.names import Names
from knet.inspect.world import Owner

#: how a kind may be written → what it is
_KINDS = {"pod": "pod", "po": "pod", "svc": "service", "service": "service", "node": "node", "machine": "node"}
_NAME = re.compile(rf"(?<![\w./-])(?:([\w.-]+)/)?({'|'.join(_KINDS)})/([\w.-]+)(?![\w/-])")


def resolved(expression: str, names: Names, namespace: str = "default") -> str:
    """The expression with addresses for names; KnetError for a name that has none."""

    def addresses(found: "re.Match[str]") -> str:
        place, kind, name = found.groups()
        owner = Owner(_KINDS[kind], name, "" if _KINDS[kind] == "node" else place or namespace)
        held = names.addresses(owner)
        if not held:
            raise KnetError(f"filter {expression!r}: {found[0]} has no address in namespace {place or namespace}")
        return held[0] if len(held) == 1 else f"({' or '.join(held)})"

    return _NAME.sub(addresses, expression)
