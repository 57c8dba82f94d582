"""What the cluster's signers sign, what a certificate says, and how long requests stay."""

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from apiserver_harness import make_pki
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from knet.api.certificates import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, CertificateSigningRequest
from knet.controllers.certificates.authority import Authority
from knet.controllers.certificates.cleaner import seconds_left
from knet.controllers.certificates.policy import FAULTS
from knet.controllers.certificates.signing import is_due, outcome

PEM = serialization.Encoding.PEM
KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def request_of(name: str, groups: str = "", names: str = "") -> x509.CertificateSigningRequest:
    """``names``: a.b is a DNS name, a@b an e-mail address, 1.2.3.4 an IP address, a://b a URI."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups.split()]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        alternatives = x509.SubjectAlternativeName(map(_alternative, names.split()))
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def _alternative(text: str) -> x509.GeneralName:
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    if "@" in text:
        return x509.RFC822Name(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


SERVING, CLIENTS = "digital signature,server auth", "digital signature,client auth"


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "fault"),
    [
        (CLIENT, ("jane", "dev"), "client auth", ""),
        (CLIENT, ("jane",), f"key encipherment,{CLIENTS}", ""),
        (CLIENT, ("jane",), "digital signature", "invalid usages for client certificate: [digital signature]"),
        (CLIENT, ("jane",), "client auth,server auth", "invalid usages for client certificate: [client auth server"),
        (KUBELET_CLIENT, ("system:node:n1", "system:nodes"), CLIENTS, ""),
        (
            KUBELET_CLIENT,
            ("system:node:n1", "system:nodes"),
            "client auth",
            "usages did not match [client auth digital",
        ),
        (KUBELET_CLIENT, ("jane", "system:nodes"), CLIENTS, "subject common name does not begin with system:node:"),
        (KUBELET_CLIENT, ("system:node:n1",), CLIENTS, "subject organization is not system:nodes"),
        (KUBELET_CLIENT, ("system:node:n1", "system:nodes a"), CLIENTS, "subject organization is not system:nodes"),
        (KUBELET_CLIENT, ("system:node:n1", "system:nodes", "a.b"), CLIENTS, "DNS subjectAltNames are not allowed"),
        (KUBELET_SERVING, ("system:node:n1", "system:nodes", "n1.lab 10.0.0.1"), SERVING, ""),
        (KUBELET_SERVING, ("system:node:n1", "system:nodes"), SERVING, "DNS or IP subjectAltName is required"),
        (KUBELET_SERVING, ("system:node:n1", "system:nodes", "a.b a@b.c"), SERVING, "email subjectAltNames are not"),
        (KUBELET_SERVING, ("system:node:n1", "system:nodes", "a.b a://b"), SERVING, "URI subjectAltNames are not"),
        (
            KUBELET_SERVING,
            ("system:node:n1", "system:nodes", "a.b"),
            CLIENTS,
            "usages did not match [digital signature",
        ),
        (LEGACY, ("anybody",), "any", ""),
    ],
)
def test_a_signer_signs_what_is_its(signer: str, asked: tuple[str, ...], usages: str, fault: str) -> None:
    found = FAULTS[signer](request_of(*asked), frozenset(usages.split(",")))
    assert found.startswith(fault) if fault else not found


@pytest.mark.parametrize(
    ("seconds", "life"),
    [
        (None, timedelta(days=365)),
        (600, timedelta(minutes=15)),
        (1, timedelta(minutes=15)),
        (24 * 3600, timedelta(days=1)),
        (10**9, timedelta(days=365)),
    ],
)
def test_a_certificate_says_what_was_asked_for(tmp_path: Path, seconds: int | None, life: timedelta) -> None:
    make_pki(tmp_path)
    asked = request_of("jane", "dev ops", "n1.lab 10.0.0.1")
    usages = ("digital signature", "client auth", "server auth")
    pem = Authority(tmp_path / "ca.crt", tmp_path / "ca.key").sign(asked, usages, seconds, datetime.now(UTC))
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))
    assert made.subject == asked.subject
    assert made.public_key() == KEY.public_key()
    assert made.not_valid_after_utc - made.not_valid_before_utc == life
    extensions = made.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign and not usage.key_encipherment
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1.lab"]


def test_a_request_whose_names_cannot_be_read_fails(tmp_path: Path) -> None:
    make_pki(tmp_path)
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    broken = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"no names")
    pem = asked.add_extension(broken, critical=False).sign(KEY, hashes.SHA256()).public_bytes(PEM)
    value = {"spec": {"request": base64.b64encode(pem).decode(), "signerName": LEGACY, "usages": ["any"]}}
    request = msgspec.convert(value, CertificateSigningRequest)
    fault, certificate = outcome(request, Authority(tmp_path / "ca.crt", tmp_path / "ca.key"), NOW)
    assert fault.startswith("unable to parse csr: ") and not certificate


def stored(*conditions: str, hours: float = 0, certificate: bool = False) -> CertificateSigningRequest:
    """Made, or decided if there are conditions, so many hours before NOW."""
    at = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pem = request_of("jane").public_bytes(PEM)
    value: dict[str, Any] = {
        "metadata": {"name": "jane", "creationTimestamp": at},
        "spec": {"request": base64.b64encode(pem).decode(), "signerName": CLIENT, "usages": ["client auth"]},
        "status": {"conditions": [{"type": kind, "status": "True", "lastUpdateTime": at} for kind in conditions]},
    }
    if certificate:
        value["status"]["certificate"] = base64.b64encode(b"PEM").decode()
    return msgspec.convert(value, CertificateSigningRequest)


@pytest.mark.parametrize(
    ("request_", "due"),
    [
        (stored(), False),
        (stored("Approved"), True),
        (stored("Approved", certificate=True), False),
        (stored("Approved", "Failed"), False),
        (stored("Denied"), False),
    ],
)
def test_only_what_is_approved_and_open_is_signed(request_: CertificateSigningRequest, due: bool) -> None:
    assert is_due(request_) == due


@pytest.mark.parametrize(
    ("request_", "left"),
    [
        (stored(hours=23), 3600),
        (stored(hours=25), -3600),
        (stored("Approved", hours=99), None),
        (stored("Approved", hours=0.5, certificate=True), 1800),
        (stored("Approved", "Failed", hours=2), -3600),
        (stored("Denied", hours=2), -3600),
    ],
)
def test_old_requests_go(request_: CertificateSigningRequest, left: float | None) -> None:
    assert seconds_left(request_, NOW) == left
