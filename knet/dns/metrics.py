"""What /metrics tells, under CoreDNS's names.

Counting every query by its labels would cost as much as answering it: a remembered answer counts how often it was
given (`Known` in `knet.dns.responder`), and is told of here when it is forgotten or somebody looks.
https://coredns.io/plugins/metrics/
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from dnslib import QTYPE, RCODE

from knet.api.exposition import Distribution, Family, Histogram

_SERVER = {"server": "dns://:53", "view": ""}
#: CoreDNS's plugin.TimeBuckets and plugin.SlimSizeBuckets
_SECONDS = tuple(0.00025 * 2**power for power in range(16))
_BYTES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000)
_TYPES = frozenset(
    [
        "A",
        "AAAA",
        "MX",
        "SOA",
        "CNAME",
        "PTR",
        "TXT",
        "NS",
        "SRV",
        "DS",
        "DNSKEY",
        "RRSIG",
        "NSEC",
        "NSEC3",
        "HTTPS",
        "IXFR",
        "AXFR",
        "ANY",
    ]
)


class Labels(NamedTuple):
    """Of a query and its answer: ``zone`` is that of the server block, ``plugin`` the one that answered."""

    zone: str
    proto: str
    family: str
    type: int
    code: int
    plugin: str

    @property
    def type_name(self) -> str:
        name = str(QTYPE.get(self.type))
        return name if name in _TYPES else "other"


class Metrics:
    """Counted since the process began; a reload does not start anew."""

    def __init__(self) -> None:
        self.panics = 0
        self.rejected = 0
        self.failed_reloads = 0
        self.durations = Histogram(_SECONDS)
        self._answers: Counter[Labels] = Counter()
        self._sizes: dict[tuple[str, str, str], Histogram] = defaultdict(lambda: Histogram(_BYTES))
        self._asked: dict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(_SECONDS))

    def answered(self, labels: Labels, query_size: int, size: int, times: int = 1) -> None:
        """So many queries of those labels, each with an answer of that size."""
        self._answers[labels] += times
        self._sizes["request", labels.zone, labels.proto].observe(query_size, times)
        self._sizes["response", labels.zone, labels.proto].observe(size, times)

    def asked(self, upstream: str, code: int, seconds: float) -> None:
        """Another name server answered."""
        self._asked[upstream, code_name(code)].observe(seconds)

    def families(self) -> list[Family | Distribution]:
        requests, responses = Counter[tuple[str, str, str, str]](), Counter[tuple[str, str, str]]()
        for labels, count in self._answers.items():
            requests[labels.zone, labels.proto, labels.family, labels.type_name] += count
            responses[labels.zone, code_name(labels.code), labels.plugin] += count
        proxy = {"proxy_name": "forward"}
        return [
            Family("coredns_dns_requests_total", "Counter of DNS requests made per zone, protocol and family.",
                   "counter",
                   [(_labels("zone proto family type", row), count, 0) for row, count in requests.items()]),
            Family("coredns_dns_responses_total", "Counter of response status codes.", "counter",
                   [(_labels("zone rcode plugin", row), count, 0) for row, count in responses.items()]),
            *(Distribution(f"coredns_dns_{what}_size_bytes", f"Size of the returned {what} in bytes.",
                           [(_labels("zone proto", row[1:]), histogram)
                            for row, histogram in self._sizes.items() if row[0] == what])
              for what in ("request", "response")),
            Distribution("coredns_dns_request_duration_seconds",
                         "Histogram of the time (in seconds) each request took per zone.",
                         [(_SERVER | {"zone": "."}, self.durations)]),
            Distribution("coredns_proxy_request_duration_seconds",
                         "Histogram of the time each request took.",
                         [(proxy | {"to": to, "rcode": code}, row) for (to, code), row in self._asked.items()]),
            Family("coredns_forward_max_concurrent_rejects_total",
                   "Counter of the number of queries rejected because the concurrent queries were at maximum.",
                   "counter", [({}, self.rejected, 0)]),
            Family("coredns_panics_total", "A metrics that counts the number of panics.", "counter",
                   [({}, self.panics, 0)]),
            Family("coredns_reload_failed_total", "Counter of the number of failed reload attempts.", "counter",
                   [({}, self.failed_reloads, 0)]),
        ]  # fmt: skip


def _labels(names: str, values: tuple[str, ...]) -> dict[str, str]:
    return _SERVER | dict(zip(names.split(), values, strict=True))


def code_name(code: int) -> str:
    """``NXDOMAIN``; a number where it has no name."""
    return str(RCODE.get(code))
