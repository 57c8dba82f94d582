"""A `Model` as nginx.conf.  Pure; the same model gives the same text.

nginx chooses a location as the Ingress API wants a path chosen: an exact one first, else the longest prefix.  A prefix
there is one of whole elements (/foo has /foo and /foo/bar, not /foobar), so it is two locations.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from knet.ingress.model import Location, Model, Server, Upstream


@dataclass(frozen=True)
class Settings:
    """Where things are: a directory for what the controller writes, the fake certificate, the pod's name server."""

    directory: str = "/etc/ingress-controller"
    nameserver: str = ""
    http_port: int = 80
    https_port: int = 443
    health_port: int = 10254
    workers: str = "2"

    def certificate(self, name: str) -> str:
        """The file of a certificate."""
        return f"{self.directory}/ssl/{name}.pem"


#: the certificate for hosts that have none
FAKE = "default-fake-certificate"

_HEAD = """\
daemon off;
pid {directory}/nginx.pid;
worker_processes {workers};
worker_shutdown_timeout 240s;
error_log stderr warn;
events {{
    multi_accept on;
    worker_connections 4096;
}}
http {{
    log_format upstreaminfo '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] $upstream_addr '
        '$upstream_status';
    access_log /dev/stdout upstreaminfo;
    keepalive_timeout 75s;
    client_max_body_size 1m;
    server_tokens off;
    server_names_hash_bucket_size 128;
    variables_hash_max_size 2048;
    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    proxy_read_timeout 60s;
    proxy_next_upstream error timeout;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    map $http_x_request_id $req_id {{
        default $http_x_request_id;
        '' $request_id;
    }}
"""
_PROXY = """\
            proxy_set_header Host $http_host;
            proxy_set_header X-Request-ID $req_id;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Scheme $scheme;
            proxy_set_header X-Scheme $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
"""


_REDIRECT = """\
            if ($scheme = http) {
                return 308 https://$host$request_uri;
            }
"""
_NOBODY = """\
        location / {
            default_type text/plain;
            return 404 "default backend - 404";
        }
"""
#: for probes: it answers as long as nginx does
_HEALTH = """\
    server {{
        listen {port};
        listen [::]:{port};
        access_log off;
        location = /healthz {{
            return 200;
        }}
    }}
"""


def render(model: Model, settings: Settings) -> str:
    """The whole file."""
    parts = [_HEAD.format(directory=settings.directory, workers=settings.workers)]
    if settings.nameserver:
        parts.append(f"    resolver {settings.nameserver} valid=5s;\n")
    parts += _upstreams(location.upstream for server in model.servers for location in server.locations)
    for server in model.servers:
        parts += _server(server, settings)
    parts.append(_HEALTH.format(port=settings.health_port))
    return "".join([*parts, "}\n"])


def _upstreams(upstreams: Iterable[Upstream]) -> Iterator[str]:
    for upstream in sorted({row for row in upstreams if row.servers}, key=lambda row: row.name):
        lines = [f"        server {address} max_fails=0;\n" for address in upstream.servers]
        yield f"    upstream {upstream.name} {{\n{''.join(lines)}        keepalive 64;\n    }}\n"


def _server(server: Server, settings: Settings) -> Iterator[str]:
    suffix = " default_server" if not server.host else ""
    name = server.certificate.name if server.certificate else FAKE
    yield f"    server {{\n        server_name {_server_name(server.host)};\n"
    for port, kind in ((settings.http_port, ""), (settings.https_port, " ssl")):
        yield f"        listen {port}{suffix}{kind};\n        listen [::]:{port}{suffix}{kind};\n"
    yield f"        ssl_certificate {settings.certificate(name)};\n"
    yield f"        ssl_certificate_key {settings.certificate(name)};\n"
    yield '        set $proxy_upstream_name "-";\n'
    locations = [row for location in server.locations for row in _locations(location)]
    taken: set[str] = set()
    for match, location in sorted(locations, key=lambda row: (row[1].kind != "exact", -len(row[1].path))):
        if match not in taken:
            taken.add(match)
            yield from _location(match, location, server)
    if "/" not in taken:
        yield _NOBODY
    yield "    }\n"


def _server_name(host: str) -> str:
    if host.startswith("*."):  # one label, where nginx's own * would match several
        return rf'"~^[^.]+\.{re.escape(host[2:])}$"'
    return host or "_"


def _locations(location: Location) -> Iterator[tuple[str, Location]]:
    if location.kind == "regex":
        yield f"~* {_quoted('^' + location.path)}", location
    elif location.kind == "exact" and location.path.endswith("/") and location.path != "/":
        # not "=": nginx would redirect /foo to such a /foo/
        yield f"~ {_quoted('^' + re.escape(location.path) + '$')}", location
    elif location.kind == "exact":
        yield f"= {_quoted(location.path)}", location
    elif location.path == "/":
        yield "/", location
    else:
        yield f"= {_quoted(location.path)}", location
        yield f"{_quoted(location.path + '/')}", location


def _quoted(path: str) -> str:
    return path if re.fullmatch(r"[\w./~-]+", path) else '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _location(match: str, location: Location, server: Server) -> Iterator[str]:
    upstream = location.upstream
    yield f"        # {location.ingress}\n        location {match} {{\n"
    yield f'            set $proxy_upstream_name "{upstream.name}";\n'
    if server.redirect:
        yield _REDIRECT
    if location.rewrite:
        pattern = location.path if location.kind == "regex" else re.escape(location.path)
        yield f'            rewrite "(?i)^{pattern}" {_quoted(location.rewrite)} break;\n'
    if upstream.host:
        yield f"{_PROXY}            set $external {upstream.host};\n            proxy_pass http://$external;\n"
    elif upstream.servers:
        yield f"{_PROXY}            proxy_pass http://{upstream.name};\n"
    else:
        yield "            return 503;\n"
    yield "        }\n"
