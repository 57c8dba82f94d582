"""A small HTTP/1.1 server on plain sockets: the standard one costs 10 MB more in every pod.

One thread waits for connections and requests (epoll); a handler is a function from `Request` to `Response`.
Requests for ``slow`` paths get a thread of their own, because they may well ask this very server something.
"""

import os
import select
import signal
import socket
import sys
import time
from _thread import start_new_thread

#: a request larger than this ends its connection
MAX_BYTES = 1 << 20


class Request:
    """What came in; header names are in lower case, ``raw`` is the request as it was on the wire."""

    def __init__(self, raw, peer, here):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.head = head
        self.peer = peer
        self.here = here
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = first.split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.arguments = arguments(self.query)

    @property
    def length(self):
        return int(self.headers.get("content-length") or 0)


class Response:
    def __init__(self, body="", status=200, kind="text/plain; charset=utf-8", headers=()):
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.kind = kind
        self.headers = headers


REASONS = {200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 400: "Bad Request",
           404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip


def unquote(text):
    """Percent-decoding, + as a space (application/x-www-form-urlencoded)."""
    parts = text.replace("+", " ").encode().split(b"%")
    out = parts[0]
    for part in parts[1:]:
        try:
            out += bytes.fromhex(part[:2].decode()) + part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode(errors="replace")


def arguments(query):
    """The last value of each name in a query string."""
    found = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name:
            found[unquote(name)] = unquote(value)
    return found


def log(text):
    sys.stdout.write(time.strftime("%Y/%m/%d %H:%M:%S ", time.gmtime()) + text + "\n")
    sys.stdout.flush()


def serve(ports, handle, datagram=None, udp_ports=(), slow=()):
    """Serve for ever: ``handle(Request) -> Response`` on TCP ``ports``, ``datagram(bytes) -> bytes`` on ``udp_ports``.

    Ends with status 0 on SIGTERM and SIGINT, which the first process of a PID namespace must ask for.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    poll = select.epoll()
    listeners, datagrams, connections = {}, {}, {}
    for port in ports:
        listener = _listen(socket.SOCK_STREAM, port)
        listener.listen(1024)
        listeners[listener.fileno()] = listener
        poll.register(listener, select.EPOLLIN)
    for port in udp_ports:
        sock = _listen(socket.SOCK_DGRAM, port)
        datagrams[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd in listeners:
                _accept(listeners[fd], poll, connections)
            elif fd in datagrams:
                data, peer = datagrams[fd].recvfrom(65536)
                answer = datagram(data.decode(errors="replace").strip())
                if answer:
                    datagrams[fd].sendto(answer.encode(), peer)
            else:
                _receive(connections[fd], handle, slow, poll, connections)


def _listen(kind, port):
    """Both families at once where the kernel has IPv6."""
    family = socket.AF_INET6 if os.path.exists("/proc/net/if_inet6") else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", port))
    sock.setblocking(False)
    return sock


class _Connection:
    def __init__(self, sock, peer):
        self.sock = sock
        self.peer = address(peer)
        self.here = address(sock.getsockname())
        self.data = b""


def address(name):
    """``1.2.3.4:80``, also for the IPv6 form of an IPv4 address."""
    host = name[0].removeprefix("::ffff:")
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


def _accept(listener, poll, connections):
    try:
        sock, peer = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return
    sock.settimeout(10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connections[sock.fileno()] = _Connection(sock, peer)
    poll.register(sock, select.EPOLLIN)


def _receive(connection, handle, slow, poll, connections):
    fd = connection.sock.fileno()
    try:
        data = connection.sock.recv(65536)
        connection.data += data
        alive = bool(data) and len(connection.data) < MAX_BYTES
        while alive and (request := _next(connection)) is not None:
            if request.path in slow:
                poll.unregister(fd)
                del connections[fd]
                start_new_thread(_answer_and_close, (connection, request, handle))
                return
            alive = _answer(connection, request, handle)
    except (OSError, ValueError):
        alive = False
    if not alive:
        poll.unregister(fd)
        del connections[fd]
        connection.sock.close()


def _next(connection):
    """The next complete request, taken off the connection's data; None if there is none yet."""
    if b"\r\n\r\n" not in connection.data:
        return None
    request = Request(connection.data, connection.peer, connection.here)
    if len(request.body) < request.length:
        return None
    connection.data = request.body[request.length :]
    request.body = request.body[: request.length]
    return request


def _answer_and_close(connection, request, handle):
    request.headers["connection"] = "close"
    try:
        _answer(connection, request, handle)
    except OSError:
        pass  # the asker has gone
    connection.sock.close()


def _answer(connection, request, handle):
    """Answer one request; False when the connection is to end."""
    response = handle(request)
    wish = request.headers.get("connection", "").lower()
    last = wish == "close" or (request.version == "HTTP/1.0" and wish != "keep-alive")
    head = [
        f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Status')}",
        f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
        f"Content-Type: {response.kind}",
        f"Content-Length: {len(response.body)}",
        *response.headers,
        *(["Connection: close"] if last else ()),
    ]
    body = b"" if request.method == "HEAD" else response.body
    connection.sock.sendall("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
    return not last
