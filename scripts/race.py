"""A race that a rolling update loses once in a while, lost every time; who was late; and what helps.

    sudo .venv/bin/python scripts/race.py

A pod that is deleted is told to end while every machine's kube-proxy is told to forget it, and neither waits for the
other.  Here n2 learns of it 300 ms later (knet delay), so n2's clients are sent to pods that are gone.
"""

import asyncio
import threading
from collections import Counter
from pathlib import Path

import yaml

from knet import Cluster
from knet.kernel.namespaces import Namespaces, entered

HERE = Path(__file__).parent


class Clients(threading.Thread):
    """Connect to an address from inside a pod's network, every 5 ms; give up after a second without an answer."""

    def __init__(self, netns: int, *address: object) -> None:
        super().__init__(daemon=True)
        self.netns, self.address, self.over, self.seen = netns, address, threading.Event(), Counter()

    def run(self) -> None:
        with entered(Namespaces({"net": self.netns})):
            asyncio.run(self.ask())

    async def ask(self) -> None:
        async with asyncio.TaskGroup() as group:
            while not self.over.is_set():
                group.create_task(self.connect())
                await asyncio.sleep(0.005)

    async def connect(self) -> None:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(*self.address)
            writer.close()
            self.seen["connected"] += 1
        except OSError as error:
            self.seen["cut" if isinstance(error, ConnectionResetError) else "failed"] += 1


def update(cluster: Cluster, deployment: dict, clients: Clients):
    """Roll the Deployment out while clients connect; what the recording says of dropped connections."""
    with cluster.recording("deployment/web") as recording:
        clients.start()
        cluster.apply(deployment)
        cluster.rollout("deployment/web")
        recording.quiet()
        clients.over.set()
        clients.join()
    report = recording.timeline.blame
    print(f"{clients.seen['connected']} connections, {clients.seen['failed']} failed\n{report.text}")
    dropped = [row.dropped for ending in report.endings for row in ending.machines]
    assert sum(row.refused + row.unreachable + row.unanswered for row in dropped) == clients.seen["failed"]
    assert not report.elsewhere
    return report


CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: n2, containers: [{name: client, image: nicolaka/netshoot, command: [sleep, infinity]}]}
"""


def main() -> None:
    with Cluster(name="race", workers=2) as cluster:
        deployment, service = yaml.safe_load_all((HERE / "web.yaml").read_text())
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        for manifest in (service, deployment, CLIENT):
            cluster.apply(manifest)
        cluster.rollout("deployment/web")
        cluster.wait("pod/client", "Ready")
        address = cluster.get("svc/web")["spec"]["clusterIP"], 80
        with cluster.sites() as sites:
            [client] = sites.places(["pod/client"])
            cluster.delay("kube-proxy@n2", "300ms")
            print("n2 is 300 ms late; a pod that is deleted serves on for a second (preStop):")
            container["lifecycle"] = None
            assert not update(cluster, deployment, Clients(client.site.netns, *address)).lost
            print("n2 is 300 ms late, and pods end at once:")
            container["image"] = "nginx:1.27"
            report = update(cluster, deployment, Clients(client.site.netns, *address))
            assert report.lost and any(row.who == "kube-proxy@n2" and row.least > 300e6 for row in report.late)
            assert {row.machine for ending in report.endings for row in ending.machines if row.dropped.lost} == {"n2"}


if __name__ == "__main__":
    main()
