"""The cluster's certificate authority, as far as it signs what others ask for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from knet.controllers.certificates.policy import alternative_names

#: --cluster-signing-duration; requests may ask for less, down to upstream's shortest
_LIFE, _SHORTEST = timedelta(days=365), timedelta(minutes=10)
#: certificates are good from a bit before now, so that clocks may differ; short ones live that much longer for it
_BACKDATE, _SHORT = timedelta(minutes=5), timedelta(hours=8)

_KEY_USAGES = {
    "digital_signature": ("signing", "digital signature"),
    "content_commitment": ("content commitment",),
    "key_encipherment": ("key encipherment",),
    "data_encipherment": ("data encipherment",),
    "key_agreement": ("key agreement",),
    "key_cert_sign": ("cert sign",),
    "crl_sign": ("crl sign",),
    "encipher_only": ("encipher only",),
    "decipher_only": ("decipher only",),
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class Authority:
    """Signs with a key that is read anew each time, as upstream notices one that was replaced."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key

    def sign(
        self, request: x509.CertificateSigningRequest, usages: Iterable[str], seconds: int | None, now: datetime
    ) -> bytes:
        """A certificate (PEM) for the request's subject, names and key, good for ``usages``."""
        issuer = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        key: Any = load_pem_private_key(self._key.read_bytes(), None)
        life = _LIFE if seconds is None else max(_SHORTEST, min(_LIFE, timedelta(seconds=seconds)))
        until = now + life if life < _SHORT else now + life - _BACKDATE
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(until, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        asked = set(usages)
        plain = {name: not asked.isdisjoint(words) for name, words in _KEY_USAGES.items()}
        if any(plain.values()):
            only = ("encipher_only", "decipher_only")
            if not plain["key_agreement"]:  # they say something about it
                plain |= dict.fromkeys(only, False)
            builder = builder.add_extension(x509.KeyUsage(**plain), critical=True)
        if extended := list(dict.fromkeys(oid for word, oid in _EXTENDED.items() if word in asked)):
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if names := alternative_names(request):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
