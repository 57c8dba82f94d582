"""A worker falls off the network: when it is noticed, when its pods are replaced, what the Service does meanwhile.

    sudo .venv/bin/python scripts/node_failure.py

Times are those of the `lab` profile (docs/reference.md); Kubernetes' own take five minutes: Cluster(timing="upstream").
"""

import time
from pathlib import Path

from knet import Cluster

HERE = Path(__file__).parent


def main() -> None:
    with Cluster(name="node-failure", workers=3) as cluster:
        cluster.apply(HERE / "web.yaml")
        cluster.rollout("deployment/web")
        client = cluster.pod("client")
        lost = next(pod.node for pod in cluster.pods("app=web") if pod.node != client.node)
        victims = {pod.name for pod in cluster.pods("app=web") if pod.node == lost}
        begin = time.monotonic()

        def say(what: str) -> None:
            print(f"{time.monotonic() - begin:7.2f} s  {what}")

        cluster.link(lost, "s1").down()
        say(f"link {lost} – s1 cut; pods there: {', '.join(sorted(victims))}")
        events: set[str] = set()
        while True:
            conditions = cluster.get(f"node/{lost}")["status"]["conditions"]
            ready = next(row for row in conditions if row["type"] == "Ready")
            slices = cluster.objects("endpointslices", selector="kubernetes.io/service-name=web")
            endpoints = [row for part in slices for row in part.get("endpoints") or () if row["conditions"]["ready"]]
            running = [pod for pod in cluster.pods("app=web") if pod.name not in victims]
            steps = {
                f"node is {ready['status']}: {ready['reason']}": ready["status"] != "True",
                "the Service no longer names its pods": all(row.get("nodeName") != lost for row in endpoints),
                "its pods are marked for deletion": victims.isdisjoint(pod.name for pod in cluster.pods("app=web")),
                "three pods are ready elsewhere": len(endpoints) == 3 and len(running) == 3,
            }
            for text, holds in steps.items():
                if holds and text not in events:
                    events.add(text)
                    say(text)
            if all(steps.values()):
                break
            time.sleep(0.02)
        cluster.rollout("deployment/coredns", namespace="kube-system")  # it may have been among the evicted
        assert "nginx" in client.run("curl -sf -m 3 http://web/")
        say("a request to the Service is answered")
        cluster.link(lost, "s1").up()
        cluster.wait(f"node/{lost}", "Ready")
        say(f"link mended; {lost} is Ready again")


if __name__ == "__main__":
    main()
