"""google-samples/hello-app: three lines that tell versions and replicas apart."""

import os
import socket

from server import Response, log, serve


def handle(request):
    log(f"Serving request: {request.path}")
    version = os.environ.get("VERSION", "1.0")
    return Response(f"Hello, world!\nVersion: {version}\nHostname: {socket.gethostname()}\n")


def main(arguments):
    port = int(os.environ.get("PORT", "8080"))
    log(f"Server listening on port {port}")
    serve([port], handle)
