"""Ports of the machine that lead to pods (containers[].ports[].hostPort), as the CNI plugin ``portmap`` does it.

::

    nat PREROUTING, OUTPUT ── to this machine ── CNI-HOSTPORT-DNAT ── -p tcp --dport 8080 ── DNAT 10.244.1.5:80
    nat POSTROUTING ── CNI-HOSTPORT-MASQ ── what the pod itself, or 127.0.0.1, asks: from this machine's address

Chains and marks are the plugin's.  Where it keeps a chain per sandbox, here all mappings of the machine are one text,
put in force in one transaction whenever it changes.  A machine without any has none of these chains.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from knet.api.families import FAMILIES, IPV4, family_of
from knet.api.host_ports import EVERY_ADDRESS
from knet.cni.bridge import BRIDGE
from knet.kernel import rules, sysctl

log = logging.getLogger(__name__)

#: a file for each sandbox that has ports of the machine: a kubelet that was restarted finds them there
DATA_DIR = Path("/var/lib/cni/hostports")
DNAT, MARK, MASQ = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
#: portmap's: packets whose answer has to come back by this machine
_BIT = "0x2000/0x2000"
_VERSIONS = dict(zip(FAMILIES, (4, 6), strict=True))
_LOOPBACK = dict(zip(FAMILIES, ("127.0.0.1/32", "::1/128"), strict=True))
#: what stands for all addresses of the machine
_EVERY = ("", EVERY_ADDRESS, "::")
_COMMENT = '-m comment --comment "CNI portfwd requiring masquerade"'
#: where the kernel's own chains jump to ours
JUMPS = (
    f"-A PREROUTING {_COMMENT} -m addrtype --dst-type LOCAL -j {DNAT}",
    f"-A OUTPUT {_COMMENT} -m addrtype --dst-type LOCAL -j {DNAT}",
    f"-A POSTROUTING {_COMMENT} -j {MASQ}",
)


class PortMapping(NamedTuple):
    """One port of the machine: which pod's, under which of its addresses, and where it leads."""

    pod: str
    address: str
    protocol: str
    host_ip: str
    host_port: int
    port: int


def render(rows: Iterable[PortMapping], family: str, jumps: Iterable[str] = JUMPS) -> str:
    """All mappings of a family for iptables-restore --noflush, with those ``jumps`` that are missing."""
    lines = [f":{name} - [0:0]" for name in (DNAT, MARK, MASQ)]
    lines += [*jumps, f"-A {MARK} -j MARK --set-xmark {_BIT}", f"-A {MASQ} -m mark --mark {_BIT} -j MASQUERADE"]
    for row in sorted(rows):
        if family_of(row.address) != family:
            continue
        here = "" if row.host_ip in _EVERY else f"-d {row.host_ip} "
        what = f'-p {row.protocol.lower()} {here}--dport {row.host_port} -m comment --comment "{row.pod}"'
        target = f"[{row.address}]:{row.port}" if family != IPV4 else f"{row.address}:{row.port}"
        lines += [f"-A {DNAT} -s {source} {what} -j {MARK}" for source in (row.address, _LOOPBACK[family])]
        lines.append(f"-A {DNAT} {what} -j DNAT --to-destination {target}")
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def mappings(pod: str, addresses: Iterable[str], ports: Iterable[dict[str, Any]]) -> list[PortMapping]:
    """Rows of the CNI capability portMappings, for each of a pod's ``addresses`` that they concern."""
    return [
        PortMapping(pod, address, row["protocol"], row["hostIP"], row["hostPort"], row["containerPort"])
        for row in ports
        for address in addresses
        if row["hostIP"] in _EVERY or family_of(row["hostIP"]) == family_of(address)
    ]


class PortMap:
    """The mappings of this machine's sandboxes; all of it may be called again.  Raises RulesError, OSError."""

    def __init__(self, directory: Path = DATA_DIR) -> None:
        self._directory = directory
        self._applied: list[PortMapping] = []
        self._turn = asyncio.Lock()

    async def put(self, sandbox: str, wanted: Sequence[PortMapping]) -> None:
        if wanted:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / sandbox).write_bytes(msgspec.json.encode(wanted))
            await self._sync()

    async def take(self, sandbox: str) -> None:
        if (file := self._directory / sandbox).exists():
            file.unlink()
            await self._sync()

    async def keep(self, valid: Collection[str]) -> None:
        """For the start of a kubelet: what an earlier one has left is made true again, and no more than that."""
        for file in self._directory.glob("*"):
            if file.name not in valid:
                file.unlink()
        if self.noted() or DNAT in await rules.save_async("nat"):
            await self._sync(again=True)

    def noted(self) -> list[PortMapping]:
        files = sorted(self._directory.glob("*"))
        return [row for file in files for row in msgspec.json.decode(file.read_bytes(), type=list[PortMapping])]

    async def _sync(self, again: bool = False) -> None:
        async with self._turn:
            rows = self.noted()
            if rows == self._applied and not again:
                return
            for family in FAMILIES:
                if family == IPV4 or any(family_of(row.address) == family for row in (*rows, *self._applied)):
                    saved = (await rules.save_async("nat", family=_VERSIONS[family])).splitlines()
                    missing = [jump for jump in JUMPS if jump not in saved]
                    await rules.restore_async(render(rows, family, missing), family=_VERSIONS[family])
            if rows:
                sysctl.ensure(f"net.ipv4.conf.{BRIDGE}.route_localnet", 1)  # for who asks on 127.0.0.1
            self._applied = rows
        log.info("host ports: %s", ", ".join(f"{row.host_port} → {row.pod}" for row in rows) or "none")
