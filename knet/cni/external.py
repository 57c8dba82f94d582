"""Other people's CNI plugins: a chain of programs, called by the CNI protocol as containerd calls them.

The configuration is found as libcni finds it: of the files in a directory the first that is one.  As in containerd's
``conf_template``, ``{{.PodCIDR}}`` in it is the node's part of the pod network, and ``{{.Mtu}}`` its MTU, so that
one file does for all machines; beside it ``{{.PodCIDR6}}`` is the IPv6 one of a cluster that has both.  Programs are
looked for in the directory's own ``bin``, then where packages put them.

https://www.cni.dev/docs/spec/
"""

import asyncio
import base64
import json
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from knet.api.families import IPV6, of_family, split
from knet.cni.attach import Attachment
from knet.cni.bridge import POD_INTERFACE, CniError
from knet.cni.network import NetworkConfig
from knet.kernel import links
from knet.kernel.netlink import Netlink
from knet.kernel.programs import DEFAULT_PATH

log = logging.getLogger(__name__)

JSON = dict[str, Any]

PLUGIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni")
#: libcni's: what the last ADD of each attachment was asked and answered
CACHE = Path("/var/lib/cni/results")
_SUFFIXES = (".conf", ".conflist", ".json")
_LO = 1


def _arguments(attachment: Attachment) -> list[tuple[str, str]]:
    """CNI_ARGS, as every runtime of Kubernetes gives them."""
    return [
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", attachment.namespace),
        ("K8S_POD_NAME", attachment.name),
        ("K8S_POD_INFRA_CONTAINER_ID", attachment.container_id),
        ("K8S_POD_UID", attachment.uid),
    ]


def load(directory: Path, network: NetworkConfig) -> JSON:
    """The configuration list in force on a node; CniError where there is none, or none that can be used."""
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)
    except OSError as error:
        raise CniError(f"{directory}: {error.strerror}") from None
    for path in files:
        try:
            found = json.loads(_filled_in(path, path.read_text(), network))
        except ValueError as error:
            raise CniError(f"{path}: error parsing configuration: {error}") from None
        if isinstance(found, dict) and "plugins" not in found:  # a single plugin's, of old
            found = {"cniVersion": found.get("cniVersion", ""), "name": found.get("name", ""), "plugins": [found]}
        if problem := _problem(found):
            raise CniError(f"{path}: {problem}")
        return dict(found)
    raise CniError(f"no networks found in {directory}")


def _filled_in(path: Path, text: str, network: NetworkConfig) -> str:
    subnets = split(network.subnet)
    known = {"PodCIDR": subnets[0], "Mtu": str(network.mtu)}
    if ipv6 := of_family(subnets, IPV6):
        known["PodCIDR6"] = ipv6

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise CniError(f"{path}: {match[0]} is none of {{{{.{'}}, {{.'.join(known)}}}}}")
        return known[match[1]]

    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", value, text)


def _problem(found: object) -> str:
    if not isinstance(found, dict) or not found.get("name"):
        return "a network configuration needs a name"
    plugins = found["plugins"]
    if not isinstance(plugins, list) or not plugins:
        return "a network configuration list needs plugins"
    return "" if all(isinstance(row, dict) and row.get("type") for row in plugins) else "each plugin needs a type"


class Chain:
    """The plugins of one machine."""

    def __init__(self, directory: Path, cache: Path = CACHE) -> None:
        self._directory = directory
        self._cache = cache
        self._path = [str(directory / "bin"), *PLUGIN_DIRS]

    def check(self, network: NetworkConfig) -> None:
        """CniError where the configuration cannot be used, or a program is missing."""
        for plugin in load(self._directory, network)["plugins"]:
            self._program(plugin["type"])

    async def add(self, attachment: Attachment, network: NetworkConfig) -> list[str]:
        """Connect a sandbox: its addresses, without prefix length.  CniError, and then has taken nothing."""
        configuration = load(self._directory, network)
        with Netlink(attachment.netns) as inside:
            inside.send(links.change(_LO, up=True))
        previous: JSON | None = None
        try:
            for plugin in configuration["plugins"]:
                previous = await self._call("ADD", configuration, plugin, attachment, previous)
            self._remember(configuration, attachment, previous or {})
            found = [str(row["address"]).partition("/")[0] for row in (previous or {}).get("ips", ())]
            if not found:
                raise CniError(f"network {configuration['name']}: the plugins gave the pod no address")
        except CniError:
            await self._delete(configuration, attachment, previous)
            raise
        return found

    async def remove(self, container_id: str, netns: int = -1) -> None:
        """Disconnect a sandbox, as its ADD is remembered; content where that has happened already."""
        for path in self._cache.glob(f"*-{container_id}-{POD_INTERFACE}"):
            kept = json.loads(path.read_text())
            arguments = dict(kept["cniArgs"])
            attachment = Attachment(
                container_id,
                netns,
                arguments["K8S_POD_NAMESPACE"],
                arguments["K8S_POD_NAME"],
                arguments["K8S_POD_UID"],
                kept["capabilityArgs"].get("portMappings", ()),
            )
            if await self._delete(json.loads(base64.b64decode(kept["config"])), attachment, kept["result"]):
                path.unlink()

    async def gc(self, valid: Collection[str]) -> list[str]:
        """Remove all sandboxes but ``valid`` ones and return their ids."""
        kept = [json.loads(path.read_text())["containerId"] for path in self._cache.glob(f"*-{POD_INTERFACE}")]
        stale = [container_id for container_id in kept if container_id not in valid]
        for container_id in stale:
            await self.remove(container_id)
        return stale

    async def _delete(self, configuration: JSON, attachment: Attachment, result: JSON | None) -> bool:
        """DEL, from the last plugin to the first; False if one failed, which is logged."""
        whole = True
        for plugin in reversed(configuration["plugins"]):
            try:
                await self._call("DEL", configuration, plugin, attachment, result)
            except CniError as error:
                log.warning("%s/%s: %s", attachment.namespace, attachment.name, error)
                whole = False
        return whole

    async def _call(
        self, command: str, configuration: JSON, plugin: JSON, attachment: Attachment, previous: JSON | None
    ) -> JSON:
        kind = plugin["type"]
        given = {**plugin, "name": configuration["name"], "cniVersion": configuration.get("cniVersion", "")}
        asked = {name for name, wanted in (given.pop("capabilities", None) or {}).items() if wanted}
        if "portMappings" in asked and attachment.ports:
            given["runtimeConfig"] = {"portMappings": list(attachment.ports)}
        if previous is not None:
            given["prevResult"] = previous
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": attachment.container_id,
            "CNI_NETNS": f"/proc/{os.getpid()}/fd/{attachment.netns}" if attachment.netns >= 0 else "",
            "CNI_IFNAME": POD_INTERFACE,
            "CNI_ARGS": ";".join(f"{name}={value}" for name, value in _arguments(attachment)),
            "CNI_PATH": ":".join(self._path),
            "PATH": DEFAULT_PATH,
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            self._program(kind), stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        out, said = await process.communicate(json.dumps(given).encode())
        if process.returncode:
            raise CniError(f'plugin type="{kind}" failed ({command.lower()}): {_why(out, said, process.returncode)}')
        if command == "DEL":
            return {}
        try:
            return dict(json.loads(out))
        except ValueError as error:
            raise CniError(f'plugin type="{kind}" failed (add): its result is no JSON: {error}') from None

    def _program(self, kind: str) -> str:
        for directory in self._path:
            if os.access(program := f"{directory}/{kind}", os.X_OK):
                return program
        raise CniError(f'failed to find plugin "{kind}" in path [{" ".join(self._path)}]')

    def _remember(self, configuration: JSON, attachment: Attachment, result: JSON) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        path = self._cache / f"{configuration['name']}-{attachment.container_id}-{POD_INTERFACE}"
        kept = {
            "kind": "cniCacheV1",
            "containerId": attachment.container_id,
            "config": base64.b64encode(json.dumps(configuration).encode()).decode(),
            "ifName": POD_INTERFACE,
            "networkName": configuration["name"],
            "cniArgs": _arguments(attachment),
            "capabilityArgs": {"portMappings": list(attachment.ports)} if attachment.ports else {},
            "result": result,
        }
        path.write_text(json.dumps(kept))


def _why(out: bytes, said: bytes, code: int) -> str:
    """What a plugin that failed says: an error object on its standard output, or anything at all."""
    try:
        error = json.loads(out)
        return ": ".join(str(error[key]) for key in ("msg", "details") if error.get(key)) or f"exit code {code}"
    except (ValueError, TypeError, AttributeError):
        return said.decode(errors="replace").strip() or out.decode(errors="replace").strip() or f"exit code {code}"
