"""Requests for certificates: whose they are, who approves and who signs them, and a group that nobody gets by them.

CertificateApproval, CertificateSigning and CertificateSubjectRestriction; that a request tells who made it is done by
the registry upstream.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

import base64

from cryptography import x509
from cryptography.x509.oid import NameOID

from knet.api.certificates import CLIENT
from knet.api.resources import CERTIFICATESIGNINGREQUESTS
from knet.apiserver.admission.request import Request
from knet.apiserver.authorization import Attributes
from knet.apiserver.authorization.authorizer import MASTERS
from knet.store import Object

REQUESTS = CERTIFICATESIGNINGREQUESTS.group_resource
_WHOSE = ("username", "uid", "groups", "extra")


def identify(request: Request) -> None:
    """A request is of the user who makes it, whatever it says."""
    spec = request.new.setdefault("spec", {})
    for key in _WHOSE:
        spec.pop(key, None)
    spec |= request.user.info()


def restrict(request: Request) -> None:
    """Nobody becomes omnipotent by a certificate of the cluster; StatusError 403."""
    spec = request.new["spec"]
    if spec.get("signerName") != CLIENT:
        return
    try:
        subject = x509.load_pem_x509_csr(base64.b64decode(spec.get("request", ""))).subject
    except ValueError:
        return  # which validation will tell
    if any(row.value == MASTERS for row in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)):
        raise request.forbidden(f"use of {CLIENT} signer with {MASTERS} group is not allowed")


def approve(request: Request) -> None:
    """StatusError 403 for who may not ``approve`` for the signer."""
    _permit(request, "approve")


def sign(request: Request) -> None:
    """StatusError 403 for who may not ``sign`` as the signer, and brings a certificate or says that there is none."""
    if _outcome(request.new) != _outcome(request.old or {}):
        _permit(request, "sign")


def _outcome(value: Object) -> tuple[str, list[Object]]:
    status = value.get("status") or {}
    return status.get("certificate", ""), [row for row in status.get("conditions") or () if row.get("type") == "Failed"]


def _permit(request: Request, verb: str) -> None:
    signer = (request.old or request.new)["spec"]["signerName"]
    authorizer = request.context.authorizer
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        wanted = Attributes(request.user, verb, "certificates.k8s.io", "signers", name=name)
        if authorizer.decide(wanted).allowed:
            return
    raise request.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')
