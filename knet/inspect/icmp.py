"""What ICMP's errors say, by type and code, as far as all agree about the words; RFC 792, 1812 and 4443."""

from collections.abc import Mapping

IPV4_ERRORS: Mapping[tuple[int, int | None], str] = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 9): "network prohibited",
    (3, 10): "host prohibited",
}
IPV6_ERRORS: Mapping[tuple[int, int | None], str] = {
    (1, 0): "no route",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
}
