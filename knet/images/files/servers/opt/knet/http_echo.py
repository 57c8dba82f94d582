"""hashicorp/http-echo: ``-text=hello -listen=:5678 -status-code=200``."""

import os
import sys

from server import Response, log, serve


def main(arguments):
    options = {"text": os.environ.get("ECHO_TEXT", ""), "listen": ":5678", "status-code": "200"}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if name not in options:
            sys.exit(f"flag provided but not defined: -{name}")
        options[name] = value if equals else next(words, "")
    if not options["text"]:
        sys.exit("Missing -text option!")
    port = int(options["listen"].rpartition(":")[2])
    response = Response(options["text"] + "\n", int(options["status-code"]), headers=("X-App-Name: http-echo",))

    def handle(request):
        if request.path == "/health":
            return Response('{"status":"ok"}\n', kind="application/json")
        log(f'{request.headers.get("host", "")} {request.peer} "{request.method} {request.target}"')
        return response

    log(f"server is listening on :{port}")
    serve([port], handle)
