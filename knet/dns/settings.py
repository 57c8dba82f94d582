"""What a Corefile asks for: one row per plugin that knet has, with the words that may follow it.

Unknown plugins and properties are errors, as in CoreDNS: a file that says more than is done would be a trap.
https://coredns.io/plugins/
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knet.dns.corefile import ConfigError, Directive, parse
from knet.dns.zone import Name, name_of

PORT = 53
#: seconds; CoreDNS's longest for what there is and what there is not
_LONGEST_TTL = (3600, 1800)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([\d.]+)(ms|s|m|h)")
_MOST_UPSTREAMS = 15
#: properties of forward; expire, prefer_udp and health_check mean nothing where no connections are kept
_FORWARD = (
    *("except", "policy", "force_tcp", "max_fails", "max_concurrent", "read_timeout"),
    *("expire", "prefer_udp", "health_check"),
)


@dataclass(frozen=True)
class Kubernetes:
    """The plugin of that name: ``domain`` is its zone, ``ttl`` seconds."""

    domain: str
    ttl: int = 5
    pods: bool = False


@dataclass(frozen=True)
class Forward:
    """Whom to ask about names below ``base``, except for some; no upstreams: a file without name servers."""

    base: Name
    upstreams: tuple[tuple[str, int], ...]
    ignored: tuple[Name, ...] = ()
    policy: str = "random"
    force_tcp: bool = False
    max_fails: int = 2
    max_concurrent: int = 0
    read_timeout: float = 2


@dataclass(frozen=True)
class Cache:
    """Longest times in seconds and most answers, of what there is and of what there is not; 0 answers: none kept."""

    success: tuple[int, int] = (9984, _LONGEST_TTL[0])
    denial: tuple[int, int] = (9984, _LONGEST_TTL[1])
    servfail: float = 5


@dataclass
class Block:
    """A server block: the names below its zones, and what is done with them."""

    zones: tuple[Name, ...]
    kubernetes: Kubernetes | None = None
    forwards: list[Forward] = field(default_factory=list)
    cache: Cache | None = None
    log: bool = False
    loop: bool = False
    shuffled: bool = False


@dataclass
class Settings:
    """Addresses are (host, port), host "" for all; ``reload`` seconds between looks at the file, 0 for never."""

    blocks: list[Block] = field(default_factory=list)
    health: tuple[str, int] | None = None
    ready: tuple[str, int] | None = None
    metrics: tuple[str, int] | None = None
    lameduck: float = 0
    reload: float = 0


def read(text: str, port: int = PORT, directory: Path = Path("/")) -> Settings:
    """The settings; files that it names are looked for below ``directory``.  Raises ConfigError."""
    settings = Settings()
    for block in parse(text):
        found = Block(tuple(_zone(word, block.line, port) for word in block.words))
        settings.blocks.append(found)
        for directive in block.body:
            configure = PLUGINS.get(directive.name)
            if configure is None:
                raise ConfigError(directive.line, f"Unknown directive '{directive.name}'")
            try:
                configure(Plugin(settings, found, directive, directory))
            except ValueError as error:
                raise ConfigError(directive.line, f"plugin/{directive.name}: {error}") from error
    return settings


@dataclass
class Plugin:
    """A directive where it stands.  Its readers raise ValueError."""

    settings: Settings
    block: Block
    directive: Directive
    directory: Path

    def properties(self, *known: str) -> dict[str, tuple[str, ...]]:
        """The lines between its braces."""
        for line in self.directive.body:
            if line.name not in known:
                raise ValueError(f"unknown property '{line.name}'")
        return {line.name: line.arguments for line in self.directive.body}

    def address(self, default: int) -> tuple[str, int]:
        host, _, port = (self.directive.arguments or (f":{default}",))[0].rpartition(":")
        return host.strip("[]"), _number(port)


def _zone(word: str, line: int, port: int) -> Name:
    """``consul.local:53``; every block is served at the one port that there is."""
    name, _, given = word.rstrip(",").removeprefix("dns://").partition(":")
    if given and given != str(port):
        raise ConfigError(line, f"{word}: this server listens at port {port}")
    return name_of(name) if name.strip(".") else ()


def _nothing(_: Plugin) -> None:
    """``errors``: they are logged whether it is there or not."""


def _log(plugin: Plugin) -> None:
    if plugin.directive.arguments or plugin.directive.body:
        raise ValueError("only without arguments")
    plugin.block.log = True


def _health(plugin: Plugin) -> None:
    lameduck = plugin.properties("lameduck").get("lameduck")
    plugin.settings.health = plugin.address(8080)
    plugin.settings.lameduck = _seconds(*lameduck) if lameduck else 0


def _ready(plugin: Plugin) -> None:
    plugin.settings.ready = plugin.address(8181)


def _prometheus(plugin: Plugin) -> None:
    plugin.settings.metrics = plugin.address(9153)


def _reload(plugin: Plugin) -> None:
    interval, *_jitter = plugin.directive.arguments or ("30s",)
    plugin.settings.reload = max(2, _seconds(interval))


def _kubernetes(plugin: Plugin) -> None:
    """The zones besides the first are those of reverse names, which fall through where nobody has the address."""
    if any(block.kubernetes for block in plugin.settings.blocks):
        raise ValueError("there is one cluster")
    given = plugin.properties("ttl", "pods", "fallthrough")
    domain, *reverse = plugin.directive.arguments or ("cluster.local",)
    if any(zone.strip(".") not in ("in-addr.arpa", "ip6.arpa") for zone in (*reverse, *given.get("fallthrough", ()))):
        raise ValueError("of one domain, in-addr.arpa and ip6.arpa")
    [pods] = given.get("pods", ("disabled",))
    if pods not in ("disabled", "insecure"):
        raise ValueError(f"pods {pods}: only disabled and insecure")
    [ttl] = map(_number, given.get("ttl", ("5",)))
    if ttl > 3600:
        raise ValueError(f"ttl must be in range [0, 3600]: {ttl}")
    plugin.block.kubernetes = Kubernetes(domain, ttl, pods == "insecure")


def _forward(plugin: Plugin) -> None:
    given = plugin.properties(*_FORWARD)
    base, *targets = plugin.directive.arguments or (".",)
    if not targets:
        raise ValueError("whom to ask?")
    upstreams = tuple(found for target in targets for found in _upstreams(target, plugin.directory))
    if len(upstreams) > _MOST_UPSTREAMS:
        raise ValueError(f"more than {_MOST_UPSTREAMS} TOs configured: {len(upstreams)}")
    [policy] = given.get("policy", ("random",))
    if policy not in ("random", "round_robin", "sequential"):
        raise ValueError(f"unknown policy '{policy}'")
    plugin.block.forwards.append(
        Forward(
            base=_plain(base),
            upstreams=upstreams,
            ignored=tuple(_plain(name) for name in given.get("except", ())),
            policy=policy,
            force_tcp="force_tcp" in given,
            max_fails=_number(*given.get("max_fails", ("2",))),
            max_concurrent=_number(*given.get("max_concurrent", ("0",))),
            read_timeout=_seconds(*given.get("read_timeout", ("2s",))),
        )
    )


def _plain(name: str) -> Name:
    return name_of(name) if name.strip(".") else ()


def _upstreams(target: str, directory: Path) -> Iterable[tuple[str, int]]:
    """An address with or without a port, or a file like /etc/resolv.conf."""
    if target.startswith("/"):
        lines = (directory / target.lstrip("/")).read_text().splitlines()
        words = [line.split() for line in lines]
        return [(row[1].partition("%")[0], PORT) for row in words if row[:1] == ["nameserver"] and len(row) > 1]
    address, port = target.removeprefix("dns://"), PORT
    if match := re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]+):(\d+)", address):
        address, port = match[1] or match[3], int(match[2] or match[4] or PORT)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(f'not an IP address or file: "{target}"') from None
    return [(address, port)]


def _cache(plugin: Plugin) -> None:
    """``disable`` names zones of the cluster in kubeadm's file; those are not kept here at all."""
    arguments = plugin.directive.arguments
    longest = [_number(arguments[0])] * 2 if arguments[:1] and arguments[0].isdigit() else list(_LONGEST_TTL)
    given = plugin.properties("success", "denial", "servfail", "disable")
    kept = []
    for kind, default in zip(("success", "denial"), longest, strict=True):
        capacity, ttl, *_ = [*map(_number, given.get(kind, ())), *(9984, default)[len(given.get(kind, ())) :]]
        disabled = given.get("disable") == (kind,)
        kept.append((0 if disabled else capacity, ttl))
    plugin.block.cache = Cache(kept[0], kept[1], _seconds(*given.get("servfail", ("5s",))))


def _loop(plugin: Plugin) -> None:
    plugin.block.loop = True


def _loadbalance(plugin: Plugin) -> None:
    if plugin.directive.arguments not in ((), ("round_robin",)):
        raise ValueError(f"unknown policy: {plugin.directive.arguments[0]}")
    plugin.block.shuffled = True


def _number(word: str, *more: str) -> int:
    if more or not word.isdigit():
        raise ValueError(f"not a number: {' '.join((word, *more))}")
    return int(word)


def _seconds(word: str, *more: str) -> float:
    """A Go duration: ``1m30s``."""
    found: Sequence[tuple[str, str]] = _DURATION.findall(word)
    if more or "".join(map("".join, found)) != word or not found:
        raise ValueError(f"not a duration: {' '.join((word, *more))}")
    return sum(float(number) * _UNITS[unit] for number, unit in found)


PLUGINS: dict[str, Callable[[Plugin], None]] = {
    "cache": _cache,
    "errors": _nothing,
    "forward": _forward,
    "health": _health,
    "kubernetes": _kubernetes,
    "loadbalance": _loadbalance,
    "log": _log,
    "loop": _loop,
    "prometheus": _prometheus,
    "ready": _ready,
    "reload": _reload,
}
