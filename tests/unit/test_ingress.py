"""Ingresses: which rule is whose, and a real nginx that is configured by them."""

import base64
import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from apiserver_harness import free_port

from knet.api.ingress import Ingress, IngressClass
from knet.api.objects import EndpointSlice, Secret
from knet.ingress import fake
from knet.ingress.model import Model, build, is_ours
from knet.ingress.nginx import FAKE, Settings, render
from tests.cluster_objects import endpoint, endpoint_slice, service

JSON = dict[str, Any]


def ingress(name: str, *rules: JSON, annotations: dict[str, str] | None = None, age: int = 0, **spec: Any) -> Ingress:
    prefixed = {f"nginx.ingress.kubernetes.io/{key}": value for key, value in (annotations or {}).items()}
    stamp = f"2026-01-01T00:00:{60 - age - 1:02}Z"
    metadata = {"name": name, "namespace": "default", "annotations": prefixed, "creationTimestamp": stamp}
    return msgspec.convert({"metadata": metadata, "spec": {"rules": rules, **spec}}, Ingress)


def rule(host: str, *paths: tuple[str, str, str]) -> JSON:
    """Paths are (type, path, Service)."""
    rows = [{"pathType": kind, "path": path, "backend": backend(name)} for kind, path, name in paths]
    return {"host": host, "http": {"paths": rows}}


def backend(name: str) -> JSON:
    return {"service": {"name": name, "port": {"number": 80}}}


def model(*ingresses: Ingress, secrets: tuple[Secret, ...] = (), slices: tuple[EndpointSlice, ...] = ()) -> Model:
    services = [service(name) for name in ("a", "b", "c")]
    services.append(service("outside", "", type="ExternalName", externalName="example.org"))
    return build(
        ingresses,
        {(row.namespace, row.name): row for row in services},
        slices,
        {(row.namespace, row.name): row for row in secrets},
    )


def owners(found: Model, host: str = "") -> dict[str, str]:
    [server] = [row for row in found.servers if row.host == host]
    return {f"{row.kind} {row.path}": row.upstream.name for row in server.locations}


def test_the_older_ingress_has_what_two_claim() -> None:
    young = ingress("young", rule("x.org", ("Prefix", "/", "b"), ("Prefix", "/new", "b")))
    old = ingress("old", rule("x.org", ("Prefix", "/", "a")), age=9)
    assert owners(model(young, old), "x.org") == {"prefix /": "default-a-80", "prefix /new": "default-b-80"}


def test_a_default_backend_gets_what_no_rule_wants() -> None:
    catch_all = ingress("all", defaultBackend=backend("a"))
    own = ingress("own", rule("x.org", ("Exact", "/x", "b")), defaultBackend=backend("c"))
    found = model(catch_all, own)
    assert owners(found) == {"prefix /": "default-a-80"}
    assert owners(found, "x.org") == {"exact /x": "default-b-80", "prefix /": "default-c-80"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            ingress("r", rule("", ("Prefix", "/", "none"))),
            'Error obtaining Endpoints for Service "default/none": no such Service',
        ),
        (
            ingress("r", defaultBackend={"service": {"name": "a", "port": {"name": "grpc"}}}),
            'Service "default/a" has no port grpc',
        ),
        (
            ingress("r", defaultBackend={"resource": {"kind": "B", "name": "b"}}),
            "resource backends are not supported",
        ),
        (ingress("r", tls=[{"hosts": ["x.org"], "secretName": "s"}]), 'Error getting SSL certificate "default/s"'),
    ],
)
def test_what_cannot_be_done_is_said(row: Ingress, why: str) -> None:
    assert model(row).faults == (("default/r", why),)


def test_only_ready_endpoints_of_the_port_are_used() -> None:
    slices = (
        endpoint_slice("a", "10.244.1.2", endpoint("10.244.1.3", ready=False)),
        endpoint_slice("a", "fd00:10:244:1::2", suffix="six", family="IPv6"),
        endpoint_slice("a", "10.244.1.9", ports=(("metrics", 9000, "TCP"),), suffix="other"),
        endpoint_slice("b", "10.244.1.4"),
    )
    found = model(ingress("r", rule("", ("Prefix", "/", "a"))), slices=slices)
    assert found.servers[0].locations[0].upstream.servers == ("10.244.1.2:8080", "[fd00:10:244:1::2]:8080")


@pytest.mark.parametrize(
    ("spec", "annotations", "ours"),
    [
        ({"ingressClassName": "web"}, {}, True),
        ({"ingressClassName": "other"}, {}, False),
        ({"ingressClassName": "missing"}, {}, False),
        ({}, {"kubernetes.io/ingress.class": "nginx"}, True),
        ({}, {"kubernetes.io/ingress.class": "traefik"}, False),
        ({}, {}, False),
    ],
)
def test_a_class_says_whose_an_ingress_is(spec: JSON, annotations: JSON, ours: bool) -> None:
    classes = [
        msgspec.convert({"metadata": {"name": name}, "spec": {"controller": controller}}, IngressClass)
        for name, controller in (("web", "k8s.io/ingress-nginx"), ("other", "example.org/other"))
    ]
    row = msgspec.convert({"metadata": {"name": "r", "annotations": annotations}, "spec": spec}, Ingress)
    assert is_ours(row, classes, "k8s.io/ingress-nginx", "nginx") is ours


# ---- a real nginx ------------------------------------------------------------------------------------------------


class _Named(BaseHTTPRequestHandler):
    """Answers with the name of its server and what it was asked."""

    def do_GET(self) -> None:
        server: Any = self.server
        seen = " ".join(self.headers.get(name, "-") for name in ("X-Real-IP", "X-Forwarded-Proto", "Host"))
        body = f"{server.name} {self.path} {seen}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def backends(*names: str) -> Iterator[tuple[EndpointSlice, ...]]:
    """A server for each Service, and their slices."""
    servers = []
    for name in names:
        made: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Named)
        made.name = name
        threading.Thread(target=made.serve_forever, daemon=True).start()
        servers.append(made)
    try:
        yield tuple(endpoint_slice(row.name, "127.0.0.1", ports=(("http", row.server_port, "TCP"),)) for row in servers)
    finally:
        for row in servers:
            row.shutdown()
            row.server_close()


@dataclass
class Proxy:
    settings: Settings

    def get(self, host: str, path: str = "/", tls: ssl.SSLContext | None = None) -> tuple[int, str]:
        """Code and body, of a redirect its Location."""
        if tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.settings.https_port, context=tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.settings.http_port)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, answer.headers.get("Location") or body


@contextmanager
def nginx(directory: Path, found: Model) -> Iterator[Proxy]:
    settings = Settings(str(directory), "", free_port(), free_port(), free_port(), "1")
    fake.write(Path(settings.certificate(FAKE)))
    for server in found.servers:
        if server.certificate is not None:
            Path(settings.certificate(server.certificate.name)).write_bytes(server.certificate.pem)
    configuration = directory / "nginx.conf"
    configuration.write_text(render(found, settings))
    subprocess.run(["nginx", "-t", "-q", "-c", configuration, "-e", "stderr"], check=True)
    with subprocess.Popen(["nginx", "-c", configuration, "-e", "stderr"], stdout=subprocess.DEVNULL) as process:
        try:
            _until(lambda: Proxy(settings).get("nobody"))
            yield Proxy(settings)
        finally:
            process.terminate()


def _until(answer: Callable[[], object]) -> None:
    while True:
        try:
            answer()
            return
        except ConnectionRefusedError:
            continue


PATHS = [
    ("Prefix", "/", "/foo", True),
    ("Exact", "/foo", "/foo", True),
    ("Exact", "/foo", "/bar", False),
    ("Exact", "/foo", "/foo/", False),
    ("Exact", "/foo/", "/foo", False),
    ("Prefix", "/foo", "/foo", True),
    ("Prefix", "/foo", "/foo/", True),
    ("Prefix", "/foo/", "/foo", True),
    ("Prefix", "/foo/", "/foo/", True),
    ("Prefix", "/aaa/bb", "/aaa/bbb", False),
    ("Prefix", "/aaa/bbb", "/aaa/bbb", True),
    ("Prefix", "/aaa/bbb/", "/aaa/bbb", True),
    ("Prefix", "/aaa/bbb", "/aaa/bbb/", True),
    ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", True),
    ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", False),
    ("Prefix", '/q"uo te', "/q%22uo%20te/x", True),
    ("ImplementationSpecific", "/foo", "/foo/bar", True),
]


def test_paths_match_as_the_documentation_has_it(tmp_path: Path) -> None:
    """The table of "Path types", each row a host of its own."""
    rules = [rule(f"h{n}.org", (kind, path, "a")) for n, (kind, path, _, _) in enumerate(PATHS)]
    with backends("a") as slices, nginx(tmp_path, model(ingress("r", *rules), slices=slices)) as proxy:
        for number, (kind, path, asked, matches) in enumerate(PATHS):
            code, body = proxy.get(f"h{number}.org", asked)
            expected = (200, f"a {asked} 127.0.0.1 http h{number}.org") if matches else (404, "default backend - 404")
            assert (code, body) == expected, f"{kind} {path} asked for {asked}"


def test_hosts_and_paths_find_the_best_match(tmp_path: Path) -> None:
    rules = [
        rule("x.org", ("Prefix", "/", "a"), ("Prefix", "/deep/er", "b"), ("Exact", "/deep/er", "c")),
        rule("*.x.org", ("Prefix", "/", "b")),
        rule("www.x.org", ("Prefix", "/", "c")),
    ]
    with backends("a", "b", "c") as slices, nginx(tmp_path, model(ingress("r", *rules), slices=slices)) as proxy:
        for host, path, found in (
            ("x.org", "/deep", "a"),
            ("x.org", "/deep/er/", "b"),
            ("x.org", "/deep/er", "c"),
            ("any.x.org", "/", "b"),
            ("WWW.x.org", "/", "c"),
            ("two.labels.x.org", "/", "default"),
            ("y.org", "/", "default"),
        ):
            assert proxy.get(host, path)[1].split()[0] == found, f"{host}{path}"


def test_rewrites_and_services_without_endpoints(tmp_path: Path) -> None:
    plain = ingress("plain", rule("x.org", ("Prefix", "/app", "a")), annotations={"rewrite-target": "/"})
    pattern = ingress(
        "pattern",
        rule("y.org", ("ImplementationSpecific", "/app(/|$)(.*)", "a")),
        annotations={"rewrite-target": "/$2"},
    )
    empty = ingress("empty", rule("z.org", ("Prefix", "/", "b")))
    outside = ingress("outside", rule("o.org", ("Prefix", "/", "outside")))
    with backends("a") as slices, nginx(tmp_path, model(plain, pattern, empty, outside, slices=slices)) as proxy:
        assert proxy.get("x.org", "/app/deep")[1].split()[:2] == ["a", "/"]
        assert proxy.get("y.org", "/app/deep?q=1")[1].split()[:2] == ["a", "/deep?q=1"]
        assert proxy.get("z.org")[0] == 503
        assert proxy.get("o.org")[0] == 502, "no name server here"


def test_tls_by_name_with_redirects_for_those_who_come_without(tmp_path: Path) -> None:
    fake.write(tmp_path / "own.pem")
    chain, _, key = (tmp_path / "own.pem").read_text().partition("-----BEGIN PRIVATE")
    data = {"tls.crt": chain, "tls.key": "-----BEGIN PRIVATE" + key}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    secret = msgspec.convert({"metadata": {"name": "s", "namespace": "default"}, "data": encoded}, Secret)
    tls = [{"hosts": ["ingress.local"], "secretName": "s"}]
    rows = (
        ingress("r", rule("ingress.local", ("Prefix", "/", "a")), tls=tls),
        ingress("other", rule("other.org", ("Prefix", "/", "a"))),
    )
    trusting = ssl.create_default_context(cafile=str(tmp_path / "own.pem"))
    trusting.check_hostname = False
    blind = ssl._create_unverified_context()
    with (
        backends("a") as slices,
        nginx(tmp_path, model(*rows, secrets=(secret,), slices=slices)) as proxy,
    ):
        assert proxy.get("ingress.local", "/x?y=z") == (308, "https://ingress.local/x?y=z")
        named = by_name(proxy, trusting, "ingress.local")
        assert named == 200
        assert proxy.get("other.org", "/", blind)[1].split()[3] == "https"
        with pytest.raises(ssl.SSLCertVerificationError):
            by_name(proxy, trusting, "other.org")


def by_name(proxy: Proxy, context: ssl.SSLContext, name: str) -> int:
    """The code of a request by TLS under a name (SNI)."""

    with (
        socket.create_connection(("127.0.0.1", proxy.settings.https_port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as wrapped,
    ):
        wrapped.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
        return int(wrapped.recv(64).split()[1])
