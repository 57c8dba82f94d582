"""``python -m knet.ingress``: the Ingress controller of a cluster, in a pod of its own."""

import argparse
import logging
import os
import re
from pathlib import Path

from knet.client import Client, component
from knet.ingress.controller import IngressController, Options
from knet.ingress.nginx import Settings

log = logging.getLogger("ingress")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="knet.ingress", description="An Ingress controller: nginx, configured by what a cluster says"
    )
    parser.add_argument("--controller-class", default="k8s.io/ingress-nginx", help="of IngressClasses that are ours")
    parser.add_argument("--ingress-class", default="nginx", help="the same, in the annotation of old")
    parser.add_argument("--publish-service", default="", metavar="NAMESPACE/NAME", help="whose address Ingresses get")
    parser.add_argument("--election-id", default="ingress-nginx-leader", help="Lease of the replica that tells them")
    parser.add_argument("--http-port", type=int, default=80)
    parser.add_argument("--https-port", type=int, default=443)
    parser.add_argument("--shutdown-grace-period", type=float, default=0, metavar="SECONDS", help="after SIGTERM")
    known, others = parser.parse_known_args()
    if others:
        log.warning("flags of ingress-nginx that mean nothing here: %s", " ".join(others))
    return known


async def _serve(arguments: argparse.Namespace) -> None:
    options = Options(
        controller_class=arguments.controller_class,
        ingress_class=arguments.ingress_class,
        publish_service=arguments.publish_service.replace("$(POD_NAMESPACE)", os.environ.get("POD_NAMESPACE", "")),
        namespace=os.environ.get("POD_NAMESPACE", "ingress-nginx"),
        election_id=arguments.election_id,
        pod=os.environ.get("POD_NAME", os.uname().nodename),
        shutdown_grace_period=arguments.shutdown_grace_period,
    )
    settings = Settings(nameserver=_nameserver(), http_port=arguments.http_port, https_port=arguments.https_port)
    async with Client.in_cluster("nginx-ingress-controller") as client:
        await IngressController(client, options, settings).run()


def _nameserver() -> str:
    found = re.search(r"^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    address = found[1] if found else ""
    return f"[{address}]" if ":" in address else address


def main() -> None:
    """Run until SIGTERM."""
    arguments = _arguments()
    component.run("ingress", lambda: _serve(arguments))


if __name__ == "__main__":
    main()
