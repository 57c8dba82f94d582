"""A Deployment controller of your own in place of Kubernetes': no rolling, no history, but easily understood.

sudo knet up --controllers '*,-deployment-controller'
kubectl create deployment web --image=nginx --replicas=3
kubectl get deployments,replicasets,pods           # nobody makes anything of it
pip install kubernetes; python scripts/own_controller.py
kubectl get deployments,replicasets,pods           # now somebody does
kubectl -n kube-system get lease                   # who leads; start it twice, kill one, and see the other take over
"""

import argparse
import hashlib
import json
import logging
import os
import queue
import socket
import sys
import threading
from typing import Any

from kubernetes import client, config, watch
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

HASH = "pod-template-hash"


class Controller:
    def __init__(self) -> None:
        self.api = client.AppsV1Api()
        self.changed: queue.Queue[tuple[str, str]] = queue.Queue()

    def run(self) -> None:
        """What the leader does: one Deployment after the other, by name; what has happened to it is of no interest."""
        for lister in (self.api.list_deployment_for_all_namespaces, self.api.list_replica_set_for_all_namespaces):
            threading.Thread(target=self.follow, args=(lister,), daemon=True).start()
        while True:
            namespace, name = self.changed.get()
            try:
                self.reconcile(namespace, name)
            except client.ApiException as error:
                if error.status not in (404, 409):  # gone, or changed meanwhile: then we hear of it again
                    raise

    def follow(self, lister: Any) -> None:
        for event in watch.Watch().stream(lister):
            meta = event["object"].metadata
            owners = [row for row in meta.owner_references or () if row.kind == "Deployment"]
            self.changed.put((meta.namespace, owners[0].name if owners else meta.name))

    def reconcile(self, namespace: str, name: str) -> None:
        """As many pods of the present template as are asked for, none of any other."""
        deployment = self.api.read_namespaced_deployment(name, namespace)
        sets = self.api.list_namespaced_replica_set(namespace).items
        mine = [
            row for row in sets if any(o.uid == deployment.metadata.uid for o in row.metadata.owner_references or ())
        ]
        wanted = self.replica_set(deployment)
        for row in mine:
            size = deployment.spec.replicas if row.metadata.name == wanted["metadata"]["name"] else 0
            if row.spec.replicas != size:
                self.api.patch_namespaced_replica_set(row.metadata.name, namespace, {"spec": {"replicas": size}})
        if wanted["metadata"]["name"] not in [row.metadata.name for row in mine]:
            self.api.create_namespaced_replica_set(namespace, wanted)
        status = {
            "replicas": sum(row.status.replicas or 0 for row in mine),
            "readyReplicas": sum(row.status.ready_replicas or 0 for row in mine),
            "observedGeneration": deployment.metadata.generation,
        }
        self.api.patch_namespaced_deployment_status(name, namespace, {"status": status})

    def replica_set(self, deployment: Any) -> dict[str, Any]:
        found = client.ApiClient().sanitize_for_serialization(deployment)
        meta, spec, template = found["metadata"], found["spec"], found["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        labels = {**template["metadata"].get("labels", {}), HASH: digest}
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
        return {
            "metadata": {
                "name": f"{meta['name']}-{digest}",
                "labels": labels,
                "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
            },
            "spec": {
                "replicas": spec["replicas"],
                "selector": {"matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: digest}},
                "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="A Deployment controller.")
    parser.add_argument("--lease", default="deployment-controller", help="name of the Lease in kube-system")
    parser.add_argument("--identity", default=f"{socket.gethostname()}_{os.getpid()}", help="who we are there")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    config.load_kube_config()
    lock = LeaseLock(given.lease, "kube-system", given.identity)
    # seconds: a lab waits less than the 15, 10 and 2 that components have
    times = {"lease_duration": 4, "renew_deadline": 3, "retry_period": 2}
    LeaderElection(
        Config(lock, onstarted_leading=Controller().run, onstopped_leading=lambda: sys.exit("lost the lead"), **times)
    ).run()


if __name__ == "__main__":
    main()
