"""traefik/whoami: tells who answers and repeats the request."""

import fcntl
import json
import os
import socket
import struct

from server import Response, serve


def addresses():
    """The IPv4 addresses of all interfaces, loopback first, as the original prints them."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, 0x8915, struct.pack("256s", name.encode()))  # SIOCGIFADDR
                found.append(socket.inet_ntoa(answer[20:24]))
            except OSError:
                continue
    return found


def handle(request):
    if request.path == "/health":
        return Response()
    if request.path == "/api":
        facts = {"hostname": socket.gethostname(), "ip": addresses(), "headers": request.headers,
                 "url": request.target, "method": request.method, "remoteAddr": request.peer}  # fmt: skip
        return Response(json.dumps(facts) + "\n", kind="application/json")
    lines = [f"Hostname: {socket.gethostname()}"]
    if name := os.environ.get("WHOAMI_NAME"):
        lines.insert(0, f"Name: {name}")
    lines += [f"IP: {address}" for address in addresses()]
    lines += [f"RemoteAddr: {request.peer}", request.head.decode("latin-1").replace("\r\n", "\n"), ""]
    return Response("\n".join(lines) + "\n")


def main(arguments):
    port = os.environ.get("WHOAMI_PORT_NUMBER", "80")
    for index, word in enumerate(arguments):
        name, equals, value = word.lstrip("-").partition("=")
        if name in ("port", "p"):
            port = value if equals else arguments[index + 1]
    serve([int(port)], handle)
