"""/etc/hosts and /etc/resolv.conf of a pod, as text (upstream's kubelet_pods.go and network/dns)."""

from collections.abc import Iterable
from dataclasses import dataclass

from knet.api.objects import HostAlias, Pod

_HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


#: glibc's name servers; upstream's search paths and length of their line (KEP-2595)
_MOST_SERVERS, _MOST_SEARCHES, _LONGEST_SEARCH_LINE = 3, 32, 2048
_LONGEST_NAME = 253


@dataclass(frozen=True)
class ClusterDNS:
    """Where the cluster's name server is, and the domain it answers for."""

    server: str
    domain: str


def hostname(pod: Pod) -> str:
    """spec.hostname or the pod's name, cut to what a host name may have."""
    return (pod.spec.hostname or pod.name)[:63].rstrip("-.")


def kernel_name(pod: Pod, domain: str) -> str:
    """What hostname(1) says in a pod; ValueError for a full name that the kernel has no room for."""
    full = fqdn(pod, domain)
    if not pod.spec.setHostnameAsFQDN or not full:
        return hostname(pod)
    if len(full) > 64:
        raise ValueError(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long (64 characters is"
            f" the max, {len(full)} characters requested)"
        )
    return full


def fqdn(pod: Pod, domain: str) -> str:
    """The full name of a pod with a subdomain, which its headless Service resolves; "" without one."""
    if not pod.spec.subdomain:
        return ""
    return f"{hostname(pod)}.{pod.spec.subdomain}.{pod.namespace}.svc.{domain}"


def hosts(pod: Pod, addresses: Iterable[str], domain: str, machine: str) -> str:
    """/etc/hosts; ``machine`` is the machine's own, which pods in its network get."""
    if pod.spec.hostNetwork:
        return "# Kubernetes-managed hosts file (host network).\n" + machine + _aliases(pod.spec.hostAliases)
    full = fqdn(pod, domain)
    names = [full, hostname(pod)] if full else [hostname(pod)]
    rows = "".join("\t".join([address, *names]) + "\n" for address in addresses)
    return _HOSTS + rows + _aliases(pod.spec.hostAliases)


def _aliases(aliases: tuple[HostAlias, ...]) -> str:
    if not aliases:
        return ""
    rows = "".join("\t".join([alias.ip, *alias.hostnames]) + "\n" for alias in aliases)
    return "\n# Entries added by HostAliases.\n" + rows


def resolv_conf(pod: Pod, dns: ClusterDNS, machine: str) -> tuple[str, list[str]]:
    """/etc/resolv.conf by dnsPolicy, and what it has no room for; ``machine`` is the machine's own (Default)."""
    servers, searches, options = _parse(machine)
    policy = pod.spec.dnsPolicy
    if policy == "None":
        servers, searches, options = [], [], []
    elif policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork):
        servers = [dns.server]
        cluster = [f"{pod.namespace}.svc.{dns.domain}", f"svc.{dns.domain}", dns.domain]
        searches = [*cluster, *(name for name in searches if name not in cluster)]
        options = ["ndots:5"]
    extra = pod.spec.dnsConfig
    servers, omitted_servers = _fitting_servers(list(dict.fromkeys([*servers, *extra.nameservers])))
    searches, omitted_searches = _fitting_searches(list(dict.fromkeys([*searches, *extra.searches])))
    merged = {option.partition(":")[0]: option for option in options}
    for row in extra.options:
        merged[row.name] = row.name if row.value is None else f"{row.name}:{row.value}"
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in servers]
    if merged:
        lines.append(f"options {' '.join(merged.values())}")
    return "".join(line + "\n" for line in lines), [*omitted_searches, *omitted_servers]


def _fitting_servers(servers: list[str]) -> tuple[list[str], list[str]]:
    """As many as resolvers read, and the Event's message where some are left out."""
    if len(servers) <= _MOST_SERVERS:
        return servers, []
    left = servers[:_MOST_SERVERS]
    return left, [
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        + " ".join(left)
    ]


def _fitting_searches(searches: list[str]) -> tuple[list[str], list[str]]:
    """Likewise; a path that is longer than a name can be makes some resolvers abort."""
    left = [path for path in searches[:_MOST_SEARCHES] if len(path) <= _LONGEST_NAME]
    while len(" ".join(left)) > _LONGEST_SEARCH_LINE:
        left.pop()
    if left == searches:
        return searches, []
    return left, [
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
        + " ".join(left)
    ]


def _parse(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        if word == "nameserver":
            servers += rest[:1]
        elif word == "search":
            searches = [name.rstrip(".") or "." for name in rest]
        elif word == "options":
            options = rest
    return servers, searches, options
