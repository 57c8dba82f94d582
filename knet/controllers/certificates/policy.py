"""What the cluster's signers sign.  Pure.

https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from collections.abc import Callable, Iterable, Mapping

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from knet.api.certificates import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY

_NODE_CLIENT = frozenset(("key encipherment", "digital signature", "client auth"))
_NODE_SERVING = frozenset(("key encipherment", "digital signature", "server auth"))
#: sorts of alternative names, and how upstream calls them where they may not be
_SORTS: Mapping[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS",
    x509.RFC822Name: "email",
    x509.IPAddress: "IP",
    x509.UniformResourceIdentifier: "URI",
}

Fault = Callable[[x509.CertificateSigningRequest, frozenset[str]], str]


def alternative_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """Those of the sorts that certificates may have."""
    try:
        extension = request.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return []
    assert isinstance(extension.value, x509.SubjectAlternativeName)
    return [name for name in extension.value if type(name) in _SORTS]


def _client(request: x509.CertificateSigningRequest, usages: frozenset[str]) -> str:
    if not usages <= _NODE_CLIENT or "client auth" not in usages:
        return f"invalid usages for client certificate: {_listed(usages)}"
    return ""


def _kubelet_client(request: x509.CertificateSigningRequest, usages: frozenset[str]) -> str:
    return _unlike_node(request) or _unwanted(request, _SORTS) or _other_usages(usages, _NODE_CLIENT)


def _kubelet_serving(request: x509.CertificateSigningRequest, usages: frozenset[str]) -> str:
    if why := _unlike_node(request):
        return why
    if not any(isinstance(name, x509.DNSName | x509.IPAddress) for name in alternative_names(request)):
        return "DNS or IP subjectAltName is required"
    return _unwanted(request, (x509.RFC822Name, x509.UniformResourceIdentifier)) or _other_usages(usages, _NODE_SERVING)


def _unlike_node(request: x509.CertificateSigningRequest) -> str:
    if _attributes(request, NameOID.ORGANIZATION_NAME) != ["system:nodes"]:
        return "subject organization is not system:nodes"
    if not "".join(_attributes(request, NameOID.COMMON_NAME)).startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    return ""


def _attributes(request: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(row.value) for row in request.subject.get_attributes_for_oid(oid)]


def _unwanted(request: x509.CertificateSigningRequest, sorts: Iterable[type[x509.GeneralName]]) -> str:
    present = {type(name) for name in alternative_names(request)}
    return next((f"{_SORTS[sort]} subjectAltNames are not allowed" for sort in sorts if sort in present), "")


def _other_usages(usages: frozenset[str], wanted: frozenset[str]) -> str:
    """Key encipherment may be missing: only RSA keys can do it."""
    if usages in (wanted, wanted - {"key encipherment"}):
        return ""
    return f"usages did not match {_listed(wanted)}"


def _listed(usages: Iterable[str]) -> str:
    return f"[{' '.join(sorted(usages))}]"


#: signer → what is wrong with a request, "" if nothing is
FAULTS: Mapping[str, Fault] = {
    CLIENT: _client,
    KUBELET_CLIENT: _kubelet_client,
    KUBELET_SERVING: _kubelet_serving,
    LEGACY: lambda request, usages: "",
}
