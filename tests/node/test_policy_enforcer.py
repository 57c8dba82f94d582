"""kube-network-policies between a real API server and a real kernel, both in one network namespace."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knet.api.objects import Pod
from knet.api.resources import NETWORKPOLICIES, PODS
from knet.client import Client
from knet.cni.isolation import announcement
from knet.kernel import links, nft, sysctl
from knet.kernel.namespaces import create, run_in
from knet.kernel.netlink import Netlink
from knet.policy import enforcer
from knet.policy.announced import Announced
from knet.policy.enforcer import Enforcer
from knet.policy.population import NarrowPod
from knet.policy.table import FAMILY, NAME
from tests.unit.apiserver_harness import running

pytestmark = pytest.mark.root

#: seconds until something has happened for sure
PATIENCE = 20
#: seconds between repairs
PERIOD = 0.3
WEB, NEW = "10.244.1.2", "10.244.1.3"


class Machine:
    """n1's enforcer, and who writes to the API server."""

    def __init__(self, client: Client, found: Enforcer) -> None:
        self.client = client
        self.enforcer = found

    async def policy(self, name: str, **spec: Any) -> None:
        body = {"apiVersion": NETWORKPOLICIES.api_version, "kind": "NetworkPolicy", "metadata": {"name": name}}
        await self.client.raw("POST", NETWORKPOLICIES.path("default"), {**body, "spec": {"podSelector": {}, **spec}})

    async def pod(self, name: str, *addresses: str) -> Pod:
        """A pod on n1, with a status where there are addresses."""
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "nginx"}]}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        made = msgspec.json.decode(await self.client.raw("POST", PODS.path("default"), body), type=Pod)
        if addresses:
            await self.show(name, *addresses)
        return made

    async def show(self, name: str, *addresses: str) -> None:
        status = {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]}
        await self.client.patch(Pod, name, {"status": status}, namespace="default", subresource="status")

    def isolated(self) -> set[str] | None:
        """Whom the kernel keeps strangers from; None where there is no table."""
        for row in nft.listing(FAMILY, NAME) or ():
            found: Any = row.get("map", {})
            if found.get("name") == "ingress-ipv4":
                return {key for key, _ in found.get("elem", ())}
        return None

    async def until(self, wanted: set[str] | None) -> None:
        deadline = time.monotonic() + PATIENCE
        while (found := self.isolated()) != wanted:
            assert time.monotonic() < deadline, (found, wanted)
            await asyncio.sleep(0.01)


def on_a_machine(directory: Path, test: Callable[[Machine], Awaitable[None]]) -> None:
    async def enforcing(kubeconfig: str) -> None:
        async with Client.from_kubeconfig(kubeconfig) as client:
            found = Enforcer(client, "n1", Announced("n1", directory / "announced"), PERIOD)
            running_it = asyncio.ensure_future(found.run())
            try:
                await asyncio.wait_for(test(Machine(client, found)), 2 * PATIENCE)
            finally:
                running_it.cancel()

    def body() -> None:
        with Netlink() as netlink:
            netlink.send(links.change("lo", up=True))
        with running(directory) as server:
            asyncio.run(enforcing(str(server.kubeconfig)))

    machine = create("net")
    try:
        run_in(machine, body)
    finally:
        machine.close()


def narrow(pod: Pod, address: str) -> NarrowPod:
    return msgspec.convert(announcement(pod, [address]), NarrowPod)


def test_from_the_first_policy_to_the_last(tmp_path: Path) -> None:
    async def test(machine: Machine) -> None:
        pod = await machine.pod("web")
        assert not await machine.enforcer.admit(narrow(pod, WEB))  # nobody is isolated: nothing to wait for
        assert machine.isolated() is None
        await machine.show("web", WEB)
        await machine.policy("deny")
        await machine.until({WEB})
        await machine.client.raw("DELETE", NETWORKPOLICIES.path("default", "deny"))
        await machine.until(None)

    on_a_machine(tmp_path, test)


def test_a_pod_is_isolated_when_it_is_admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stays so: while its status has no address, when it has, and for a moment after it was deleted by force."""
    monkeypatch.setattr(enforcer, "LEAVING", 0.5)

    async def test(machine: Machine) -> None:
        await machine.pod("web", WEB)
        await machine.policy("deny")
        await machine.until({WEB})
        pod = await machine.pod("new")
        assert await machine.enforcer.admit(narrow(pod, NEW))
        assert machine.isolated() == {WEB, NEW}
        assert [path.name for path in (tmp_path / "announced").iterdir()] == ["default_new.json"]
        await machine.client.patch(Pod, "new", {"metadata": {"labels": {"a": "b"}}}, namespace="default")
        await machine.pod("later", "10.244.1.9")
        await machine.until({WEB, NEW, "10.244.1.9"})
        await machine.show("new", NEW)
        while list((tmp_path / "announced").iterdir()):
            await asyncio.sleep(0.01)
        assert machine.isolated() == {WEB, NEW, "10.244.1.9"}
        gone = asyncio.get_running_loop().time()
        await machine.client.delete(Pod, "new", "default", grace_period=0)
        await machine.until({WEB, "10.244.1.9"})
        assert asyncio.get_running_loop().time() - gone >= 0.5

    on_a_machine(tmp_path, test)


def test_what_others_do_is_mended_in_time(tmp_path: Path) -> None:
    async def test(machine: Machine) -> None:
        await machine.pod("web", WEB)
        await machine.policy("deny")
        await machine.until({WEB})
        nft.apply(f"delete table {FAMILY} {NAME}\n")
        sysctl.write("net.bridge.bridge-nf-call-iptables", 0)
        await machine.until({WEB})
        while sysctl.read("net.bridge.bridge-nf-call-iptables") != "1":
            await asyncio.sleep(0.01)

    on_a_machine(tmp_path, test)
