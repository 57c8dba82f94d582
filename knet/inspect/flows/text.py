"""Flows and rates as people read them.  Pure."""

from knet.inspect.flows.connections import Flow

HEADS = ("FROM", "SERVICE", "TO", "PORT", "STATE", "FLOWS", "PACKETS/S", "BIT/S")
_PREFIXES = ("", "k", "M", "G", "T")


def row(flow: Flow) -> tuple[str, ...]:
    """A flow's columns, under `HEADS`; there / back."""
    source = flow.source if not flow.source_port or flow.connections > 1 else f"{flow.source}:{flow.source_port}"
    service = flow.service and f"{flow.service}:{flow.service_port}"
    port = f"{flow.protocol}/{flow.destination_port}" if flow.destination_port else flow.protocol
    packets = f"{rate(flow.sent.packets)} / {rate(flow.answered.packets)}"
    bits = f"{rate(flow.sent.bits)} / {rate(flow.answered.bits)}"
    return source, service, flow.destination, port, flow.state, str(flow.connections), packets, bits


def rate(number: float) -> str:
    """With three digits: ``0``, ``3.2``, ``47``, ``1.25 M``."""
    for prefix in _PREFIXES:
        if number < 999.5 or prefix == _PREFIXES[-1]:
            break
        number /= 1000
    return f"{number:.3g} {prefix}".rstrip()
