"""Admission: what upstream's compiled-in plugins change or refuse, between decoding and storing.

Every request that writes, and every connection to a Pod, passes as one `Request` through two phases: the mutating one
on the object as the client sent it (defaults filled in), the validating one on the object as it would be stored.
`plugins` is the ordered table, one file per plugin; `chain` finds the few that concern a kind, once.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from knet.apiserver.admission.chain import Admission
from knet.apiserver.admission.request import Request

__all__ = ["Admission", "Request"]
