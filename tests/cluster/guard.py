"""An admission webhook, to be run in a pod: stamps objects, and refuses those that are called bad-…."""

import base64
import json
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STAMP = [{"op": "add", "path": "/data/stamped", "value": "by the guard"}]


def decide(path: str, request: dict[str, Any]) -> dict[str, Any]:
    if path == "/mutate":
        patch = base64.b64encode(json.dumps(STAMP).encode()).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": patch}
    if request["name"].startswith("bad-"):
        return {"allowed": False, "status": {"code": 403, "reason": "Forbidden", "message": "bad names are not liked"}}
    return {"allowed": True, "warnings": [f"{request['userInfo']['username']} is being watched"]}


class Guard(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        uid = review["request"]["uid"]
        review["response"] = {"uid": uid, **decide(self.path.partition("?")[0], review.pop("request"))}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 8443), Guard)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
