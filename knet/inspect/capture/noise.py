"""What every network hums to itself, as an expression of pcap-filter(7): hidden unless asked for."""

_MLD = (130, 131, 132, 143)
_DISCOVERY = (133, 134)


def _any_of(what: str, values: tuple[int, ...]) -> str:
    return "(" + " or ".join(f"{what} = {value}" for value in values) + ")"


#: bridges (STP), switches (LLDP); who listens to which multicast group (IGMP; MLD, which hides behind a hop-by-hop
#: option); looking for routers; whether an address is taken (from ::); knet's speakers, who is alive
EXPRESSION = " or ".join(
    (
        "ether dst 01:80:c2:00:00:00",
        "ether proto 0x88cc",
        "igmp",
        f"(ip6[6] = 0 and ip6[40] = 58 and {_any_of('ip6[48]', _MLD)})",
        f"(icmp6 and {_any_of('ip6[40]', _MLD + _DISCOVERY)})",
        "(icmp6 and ip6[40] = 135 and ip6 src ::)",
        "udp port 7946",
    )
)
