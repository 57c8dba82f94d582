"""CertificateSigningRequests: `signing` gives certificates to those that are approved, `cleaner` removes old ones.

`policy` says what each of the cluster's signers signs, `authority` signs.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from knet.controllers.certificates.cleaner import build as build_cleaner
from knet.controllers.certificates.signing import build as build_signing

__all__ = ["build_cleaner", "build_signing"]
