"""agnhost: the subcommands that network lessons use: netexec, serve-hostname, pause, connect, liveness.

Paths, flags and answers as in https://github.com/kubernetes/kubernetes/tree/master/test/images/agnhost
"""

import os
import signal
import socket
import sys
import time

from server import Response, log, serve, unquote


def flags(arguments, **defaults):
    """``--name=value``, ``--name value`` and ``--name`` (true), over defaults; the rest in ``flags["_"]``."""
    found, rest, words = dict(defaults), [], list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            rest.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name not in defaults:
            sys.exit(f"Error: unknown flag: --{name}")
        if not equals:
            value = "true" if isinstance(defaults[name], bool) else (words.pop(0) if words else "")
        found[name] = value == "true" if isinstance(defaults[name], bool) else value
    return {**found, "_": rest}


def command(text):
    """What a shell says: {"output": …, "error": …} as netexec's /shell answers."""
    import json
    import subprocess

    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True)
    answer = {"output": done.stdout + done.stderr}
    if done.returncode:
        answer["error"] = f"exit status {done.returncode}"
    return json.dumps(answer)


def dial(arguments):
    """Ask another netexec a few times and tell what came back: {"responses": [...], "errors": [...]}."""
    import json

    protocol = arguments.get("protocol", "http")
    host, port = arguments.get("host", ""), int(arguments.get("port", "0"))
    request = arguments.get("request", "hostname")
    responses, errors = [], []
    for _ in range(int(arguments.get("tries", "1"))):
        try:
            responses.append(ask_udp(host, port, request) if protocol == "udp" else ask_http(host, port, request))
        except OSError as error:
            errors.append(str(error))
    return json.dumps({"responses": responses, **({"errors": errors} if errors else {})})


def ask_http(host, port, request):
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(f"GET /{request.lstrip('/')} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace")


def ask_udp(host, port, request):
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.settimeout(5)
        sock.sendto(request.encode(), target)
        return sock.recv(65536).decode(errors="replace")


def redirect(request):
    return Response(status=int(request.arguments.get("code", "302")),
                    headers=(f"Location: {request.arguments.get('location', '/')}",))  # fmt: skip


def leave(request):
    log("exiting on request")
    os._exit(int(request.arguments.get("code", "0")))


ROUTES = {
    "/": lambda request: Response("NOW: " + time.strftime("%Y-%m-%d %H:%M:%S %z UTC", time.gmtime())),
    "/hostname": lambda request: Response(socket.gethostname()),
    "/hostName": lambda request: Response(socket.gethostname()),
    "/clientip": lambda request: Response(request.peer),
    "/echo": lambda request: Response(request.arguments.get("msg", ""), int(request.arguments.get("code", "200"))),
    "/header": lambda request: Response(request.headers.get(request.arguments.get("key", "").lower(), "")),
    "/healthz": lambda request: Response(),
    "/redirect": redirect,
    "/exit": leave,
    "/shell": lambda request: Response(
        command(request.arguments.get("shellCommand") or request.arguments.get("cmd", ""))
    ),
    "/dial": lambda request: Response(dial(request.arguments)),
}


def handle(request):
    route = ROUTES.get(request.path)
    if route is None:
        return Response("404 page not found\n", 404)
    if request.path != "/healthz":
        log(f"GET {request.target}")
    return route(request)


def datagram(text):
    """netexec's UDP commands: hostname, echo MESSAGE, clientip is not offered there."""
    word, _, rest = text.partition(" ")
    if word.lower() == "hostname":
        return socket.gethostname()
    return rest if word == "echo" else ""


def netexec(arguments):
    given = flags(arguments, **{"http-port": "8080", "udp-port": "8081", "sctp-port": "-1", "delay-shutdown": "0",
                                "tls-cert-file": "", "tls-private-key-file": ""})  # fmt: skip
    log(f"Started HTTP server on port {given['http-port']}")
    log(f"Started UDP server on port {given['udp-port']}")
    serve([int(given["http-port"])], handle, datagram, [int(given["udp-port"])], slow=("/dial", "/shell"))


def serve_hostname(arguments):
    given = flags(arguments, http=True, tcp=False, udp=False, port="9376", close=False)
    name = socket.gethostname()
    serve([int(given["port"])], lambda request: Response(name), lambda text: name,
          [int(given["port"])] if given["udp"] else [])  # fmt: skip


def pause(arguments):
    print("Paused", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    while True:
        signal.pause()


def liveness(arguments):
    """/healthz is well for ten seconds, and never again."""
    flags(arguments)
    started = time.monotonic()

    def handle(request):
        age = time.monotonic() - started
        return Response(f"error: {age}", 500) if age > 10 else Response("ok")

    serve([8080], handle)


def connect(arguments):
    """Exit 0 if a TCP connection comes about, else say TIMEOUT, REFUSED, DNS or OTHER."""
    given = flags(arguments, timeout="3s", protocol="tcp", **{"sctp-data": ""})
    host, _, port = given["_"][0].rpartition(":")
    try:
        socket.create_connection((unquote(host.strip("[]")), int(port)), float(given["timeout"].rstrip("s"))).close()
    except TimeoutError:
        sys.exit("TIMEOUT")
    except ConnectionRefusedError:
        sys.exit("REFUSED")
    except socket.gaierror as error:
        sys.exit(f"DNS: {error.strerror}")
    except OSError as error:
        sys.exit(f"OTHER: {error}")


COMMANDS = {"netexec": netexec, "serve-hostname": serve_hostname, "pause": pause, "connect": connect,
            "liveness": liveness}  # fmt: skip


def main(arguments):
    word = arguments[0] if arguments else ""
    if word not in COMMANDS:
        sys.exit(f'Error: unknown command "{word}" for "app"; knet\'s agnhost has {", ".join(COMMANDS)}')
    COMMANDS[word](arguments[1:])
