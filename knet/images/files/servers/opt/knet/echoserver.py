"""echoserver 1.10: repeats the request in sections."""

import os
import socket

from server import Response, serve

PORT = int(os.environ.get("PORT", "8080"))


def handle(request):
    environment = [
        f"\t{label}:\t{os.environ[name]}"
        for label, name in [
            ("node name", "NODE_NAME"),
            ("pod name", "POD_NAME"),
            ("pod namespace", "POD_NAMESPACE"),
            ("pod IP", "POD_IP"),
        ]
        if name in os.environ
    ]
    host = request.headers.get("host", "")
    lines = ["", "", f"Hostname: {socket.gethostname()}", "", "Pod Information:"]
    lines += environment or ["\t-no pod information available-"]
    lines += ["", "Server values:", "\tserver_version=knet echoserver", "", "Request Information:"]
    lines += [f"\tclient_address={request.peer.rpartition(':')[0]}", f"\tmethod={request.method}"]
    lines += [f"\treal path={request.target}", f"\tquery={request.query}"]
    lines += ["\trequest_version=" + request.version.removeprefix("HTTP/"), "\trequest_scheme=http"]
    lines += [f"\trequest_uri=http://{host}{request.target}", "", "Request Headers:"]
    lines += [f"\t{name}={value}" for name, value in sorted(request.headers.items())]
    lines += ["", "Request Body:", request.body.decode(errors="replace") or "\t-no body in request-", ""]
    return Response("\n".join(lines) + "\n")


def main(arguments):
    serve([PORT], handle)
