"""Approved requests to the cluster's own signers get their certificates; those that a signer does not sign fail."""

import base64
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from knet.api.certificates import CertificateSigningRequest
from knet.api.objects import JSON
from knet.client import Controller, Key, NotFound
from knet.client.client import STRATEGIC
from knet.client.controller import key_of
from knet.controllers.certificates.authority import Authority
from knet.controllers.certificates.policy import FAULTS, alternative_names
from knet.controllers.context import Context


def build(context: Context) -> list[Controller]:
    """None where there is no key to sign with, as upstream."""
    if not context.signing_key_file:
        return []
    controller = Controller("certificatesigningrequest-signing", Signing(context), workers=1)

    def changed(old: CertificateSigningRequest | None, new: CertificateSigningRequest | None) -> None:
        if new is not None:
            controller.enqueue(key_of(new))

    context.informers.of(CertificateSigningRequest).subscribe(changed)
    return [controller]


class Signing:
    """Keys are requests."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._requests = context.informers.of(CertificateSigningRequest)
        self._authority = Authority(Path(context.signing_cert_file), Path(context.signing_key_file))

    async def reconcile(self, key: Key) -> None:
        request = self._requests.get("", key.name)
        if request is None or request.deleting or not is_due(request):
            return
        now = datetime.now(UTC).replace(microsecond=0)
        fault, pem = outcome(request, self._authority, now)
        if fault:
            at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
            failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": fault}
            status: JSON = {"conditions": [failed | {"lastUpdateTime": at, "lastTransitionTime": at}]}
        else:
            status = {"certificate": base64.b64encode(pem).decode()}
        body = {"metadata": {"resourceVersion": request.metadata.resourceVersion}, "status": status}
        try:
            written = await self._client.patch(
                CertificateSigningRequest, request.name, body, subresource="status", kind=STRATEGIC
            )
        except NotFound:
            return
        self._requests.assume(written)


def outcome(request: CertificateSigningRequest, authority: Authority, now: datetime) -> tuple[str, bytes]:
    """Why it gets none, or its certificate (PEM)."""
    spec = request.spec
    try:
        parsed = x509.load_pem_x509_csr(spec.request)
        # which are only read when they are asked for
        parsed.public_key()
        alternative_names(parsed)
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"unable to parse csr: {error}", b""
    fault = FAULTS[spec.signerName](parsed, frozenset(spec.usages))
    return fault, b"" if fault else authority.sign(parsed, spec.usages, spec.expirationSeconds, now)


def is_due(request: CertificateSigningRequest) -> bool:
    """Whether it is for one of our signers, approved, and without an outcome."""
    return (
        request.spec.signerName in FAULTS
        and not request.status.certificate
        and request.condition("Approved") is not None
        and request.condition("Denied", "Failed") is None
    )
