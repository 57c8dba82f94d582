"""A rolling update under continuous requests: who answers when, and whether anybody ever got no answer.

    sudo .venv/bin/python scripts/rolling_update.py

Three replicas, maxSurge 1, maxUnavailable 0: never fewer than three available, never more than four.
"""

import threading
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

import yaml

from knet import Cluster

HERE = Path(__file__).parent


class Counts(threading.Thread):
    """How many pods were available, and how many there were, at every moment of the rollout."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster, self.rows, self.done = cluster, [], threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            status = self.cluster.get("deployment/web")["status"]
            row = status.get("availableReplicas", 0), status.get("replicas", 0), status.get("updatedReplicas", 0)
            if not self.rows or self.rows[-1] != row:
                self.rows.append(row)
            time.sleep(0.01)


def main() -> None:
    with Cluster(name="rolling", workers=2) as cluster:
        deployment, service = yaml.safe_load_all((HERE / "web.yaml").read_text())
        deployment["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        cluster.apply(service)
        cluster.apply(deployment)
        cluster.rollout("deployment/web")
        client = cluster.pod("client")
        client.run(
            "(while [ ! -e /tmp/stop ]; do"
            " curl -s -m 3 -H 'Connection: close' -w 'code:%{http_code}\n' 'http://web.default.svc.cluster.local/?[1-20]'"
            " | grep -oE 'nginx:[0-9.]+|code:[0-9]+';"
            " done > /tmp/answers; touch /tmp/done) > /dev/null 2>&1 &"
        )
        counts = Counts(cluster)
        counts.start()
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1.27"
        cluster.apply(deployment)
        cluster.rollout("deployment/web")
        counts.done.set()
        counts.join()
        rows = client.run("touch /tmp/stop; while [ ! -e /tmp/done ]; do sleep 0.1; done; cat /tmp/answers").split()
        codes = Counter(row for row in rows if row.startswith("code:"))
        images = [(image, len(list(run))) for image, run in groupby(row for row in rows if row.startswith("nginx"))]
        print("available  all  updated")
        for available, replicas, updated in counts.rows:
            print(f"{available:>9} {replicas:>4} {updated:>8}")
        print("\nanswers, in order:", *(f"{count}×{image}" for image, count in images))
        assert list(codes) == ["code:200"], f"requests failed: {codes}"
        assert min(row[0] for row in counts.rows) >= 3 and max(row[1] for row in counts.rows) <= 4
        print(f"{codes.total()} requests, none failed; 3 ≤ available, pods ≤ 4 throughout")


if __name__ == "__main__":
    main()
