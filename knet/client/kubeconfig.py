"""Where the API server is and who we are: kubeconfig files and a pod's service account.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from knet.api.families import host_port
from knet.api.objects import JSON

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """A server, how to verify it, and a client certificate or the file of a bearer token (read anew as it rotates).

    ``ca`` is the PEM bundle that signs the server's certificate.
    """

    server: str
    ssl: ssl.SSLContext
    token_file: Path | None = None
    namespace: str = "default"
    ca: bytes = b""


class ConfigError(ValueError):
    """A kubeconfig that cannot be used, with the reason in one line."""


def _entry(config: JSON, section: str, name: str, key: str) -> JSON:
    for row in config.get(section) or ():
        if row.get("name") == name:
            return dict(row.get(key) or {})
    raise ConfigError(f"{section}: no entry named {name!r}")


def _pem(entry: JSON, key: str, directory: Path) -> bytes:
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(str(data))
    if path := entry.get(key):
        return (directory / str(path)).read_bytes()
    return b""


def tls_context(ca: bytes, certificate: bytes = b"", key: bytes = b"") -> ssl.SSLContext:
    """A context that trusts only ``ca`` and, where given, identifies itself; all PEM."""
    context = ssl.create_default_context(cadata=ca.decode())
    # OpenSSL 3.x's strict mode (Python 3.13) refuses CAs without extensions that Kubernetes never asked for
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if certificate:
        # load_cert_chain reads files only; the key is on disk for these few lines, readable by its owner alone
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def from_kubeconfig(path: str | Path, context: str = "") -> Access:
    """The access that a kubeconfig's current (or named) context describes.

    Raises ConfigError where an entry is missing, OSError where a file cannot be read.
    """
    path = Path(path)
    config = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    chosen = _entry(config, "contexts", context or config.get("current-context", ""), "context")
    cluster = _entry(config, "clusters", chosen.get("cluster", ""), "cluster")
    user = _entry(config, "users", chosen.get("user", ""), "user")
    ca = _pem(cluster, "certificate-authority", path.parent)
    tls = tls_context(
        ca,
        _pem(user, "client-certificate", path.parent),
        _pem(user, "client-key", path.parent),
    )
    return Access(cluster["server"], tls, namespace=chosen.get("namespace", "default"), ca=ca)


def in_cluster() -> Access:
    """The access of a pod: environment and service-account volume; ConfigError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    ca = (SERVICE_ACCOUNT_DIR / "ca.crt").read_bytes()
    namespace = (SERVICE_ACCOUNT_DIR / "namespace").read_text()
    return Access(f"https://{host_port(host, port)}", tls_context(ca), SERVICE_ACCOUNT_DIR / "token", namespace, ca)
