"""The host as it is at a moment, in everything that a cluster must leave as it was."""

import json
import os
import re
import subprocess
from pathlib import Path

from knet.cluster.preflight import RAISED

#: bookkeeping that changes by itself
_MOVING = re.compile(r"^net\.(netfilter\.nf_conntrack_count|ipv4\.tcp_fastopen_key)|/(stat|icmp)")


def _command(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def network() -> dict[str, str]:
    """Addresses, routes, rules and sysctls of the host's network, byte for byte but for lifetimes and counters."""
    found = {
        "addresses": _without(json.loads(_command("ip", "-j", "addr")), "valid_life_time", "preferred_life_time"),
        "routes": _command("ip", "-j", "route"),
        "rules": _command("ip", "-j", "rule"),
        "nftables": _command("nft", "list", "ruleset"),
        "namespaces": _command("ip", "netns", "list"),
    }
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        name = ".".join(path.relative_to("/proc/sys").parts)
        if path.is_file() and os.access(path, os.R_OK) and name not in RAISED and not _MOVING.search(name):
            try:
                found[name] = path.read_text()
            except OSError:
                continue  # write-only, whatever its mode says
    return found


def _without(rows: object, *fields: str) -> str:
    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in fields}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return json.dumps(strip(rows))


def mounts() -> list[str]:
    return sorted(line.split(" ", 4)[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())


def processes(name: str) -> list[str]:
    """Processes of a cluster: by their titles, the paths on their command lines, or the PID namespace they share."""
    rows = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rows[entry.name] = command, os.readlink(entry / "ns/pid")
        except OSError:
            continue
    own = os.readlink("/proc/self/ns/pid")
    named = (f"knet {name}:", f"/knet/{name}/")
    inside = {space for command, space in rows.values() if space != own and any(word in command for word in named)}
    return [command for command, space in rows.values() if space in inside]


def traces(name: str) -> list[str]:
    """Files and control groups of a cluster."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/knet/{name}")]
    return groups + [str(path) for path in (Path("/run/knet", name), Path("/var/lib/knet", name)) if path.exists()]
