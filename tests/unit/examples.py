"""One example of every kind that can be created, from examples.yaml."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from knet.api import resources
from knet.api.resources import Resource

TEXT = Path(__file__).with_name("examples.yaml").read_text()


class _Loader(yaml.SafeLoader):
    """Times stay text; anchors reach from one document to the next."""

    def compose_document(self) -> Any:
        anchors = self.anchors  # type: ignore[has-type]
        self.get_event()
        node = self.compose_node(None, 0)
        self.get_event()
        self.anchors = anchors
        return node


_Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _signing_request() -> str:
    """A certificate request in PEM, in base64: what the spec of a CertificateSigningRequest holds."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def _load() -> dict[Resource, dict[str, Any]]:
    found = {}
    for value in yaml.load_all(TEXT.replace("REQUEST", _signing_request()), _Loader):
        row = resources.by_kind(value["apiVersion"], value["kind"])
        assert row is not None, value["kind"]
        found[row] = value
    return found


EXAMPLES: Mapping[Resource, dict[str, Any]] = _load()
