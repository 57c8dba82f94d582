"""Reports of traces as golden text: what differs from one cluster to the next is called by a name."""

import re
from pathlib import Path

from rich.text import Text

from knet import Cluster
from knet.inspect.trace import report
from knet.inspect.trace.tracing import Trace
from knet.inspect.world import World

GOLDEN = Path(__file__).with_name("golden_traces.txt")
#: what is another one each time, after names have been put for addresses
_CHANCE = (
    (r"\s+(\+[\d.]+ (µs|ms)|0)$", ""),
    (r"Round trip .*", "Round trip TIME."),
    (r"\b(reachable|stale|delay|probe)$", "STATE"),
    (r"\bveth[0-9a-f]{8}", "VETH"),
    (r"(KUBE-(SEP|SVC|EXT)-)\w{16}", r"\1…"),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"(EndpointSlice \w+/[a-z0-9]+)-\w{5}\b", r"\1-…"),
    (r":(?!8472|3008)\d{4,5}(?=[ ]|$)", ":PORT"),
)


def golden() -> dict[str, str]:
    """By case."""
    blocks = re.findall(r"^### (.*)\n((?:(?!###).*\n?)*)", GOLDEN.read_text(), re.MULTILINE)
    return {name: f"{block.strip()}\n" for name, block in blocks}


def text(cluster: Cluster, found: Trace) -> str:
    """The report, plain, with names for addresses."""
    plain = "\n".join(Text.from_markup(line).plain.rstrip() for line in report.lines(found)) + "\n"
    for address, name in sorted(_names(cluster.world()).items(), key=lambda row: -len(row[0])):
        plain = plain.replace(address, name)
    for pattern, instead in _CHANCE:
        plain = re.sub(pattern, instead, plain, flags=re.MULTILINE)
    return plain


def _names(world: World) -> dict[str, str]:
    """Of addresses, and of pods' networks."""
    found = {}
    for address, owner in world.owners.items():
        if owner.kind in ("pod", "service"):
            six = "6" if ":" in address else ""
            found[f"[{address}]" if six else address] = found[address] = f"<{owner.kind} {owner.name}{six}>"
    for node in world.nodes.values():
        for cidr in node.spec.podCIDRs:
            prefix = cidr.partition("/")[0]
            found[prefix if ":" in cidr else prefix.removesuffix("0")] = f"<pods of {node.name}>"
    return found
