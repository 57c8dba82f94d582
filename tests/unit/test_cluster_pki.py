"""Certificates: who they name, who signed them, and that a TLS handshake accepts them."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from knet.client.kubeconfig import tls_context
from knet.cluster.pki import Authority


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> dict[str, object] | None:
    """Run both ends of a TLS connection in memory; the certificate that the server saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (here, there):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return there.getpeercert()


def test_client_and_server_accept_each_other(tmp_path: Path) -> None:
    authority = Authority.create("kubernetes")
    authority.sign("kube-apiserver", names=["kubernetes", "10.96.0.1"], server=True).write(tmp_path, "apiserver")
    identity = authority.sign("system:node:n1", ["system:nodes"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "apiserver.crt", tmp_path / "apiserver.key")
    server.load_verify_locations(cadata=authority.pem.decode())
    server.verify_mode = ssl.CERT_REQUIRED
    seen = _handshake(tls_context(authority.pem, identity.certificate, identity.key), server, "10.96.0.1")
    assert seen is not None
    subject = {row[0][0]: row[0][1] for row in seen["subject"]}  # type: ignore[index, attr-defined]
    assert subject == {"organizationName": "system:nodes", "commonName": "system:node:n1"}


def test_an_authority_read_back_signs_as_before(tmp_path: Path) -> None:
    Authority.create("kubernetes").write(tmp_path)
    pair = Authority.load(tmp_path).sign("kubernetes-admin", ["system:masters"])
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "kubernetes-admin"


def test_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    Authority.create("kubernetes").write(tmp_path)
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600
