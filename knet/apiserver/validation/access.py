"""RBAC kinds, certificate requests and runtime classes (pkg/apis/{rbac,certificates,node}/validation)."""

import base64
from typing import Any

from cryptography import x509

from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.validation.rules import Required, each, form, numbered, one_of, shape, whole
from knet.store import Object

_GROUP = "rbac.authorization.k8s.io"


def _rules(namespaced: bool) -> Any:
    """PolicyRules: verbs, and either resources or, in a ClusterRole, URLs."""

    def check(rules: list[Object], path: str) -> Errors:
        errors: Errors = []
        for rule, here in numbered(rules, path):
            if not rule.get("verbs"):
                errors.append(field.required(f"{here}.verbs", "verbs must contain at least one value"))
            if urls := rule.get("nonResourceURLs"):
                if namespaced:
                    detail = "namespaced rules cannot apply to non-resource URLs"
                    errors.append(field.invalid(f"{here}.nonResourceURLs", urls, detail))
                if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                    detail = "rules cannot apply to both regular resources and non-resource URLs"
                    errors.append(field.invalid(f"{here}.nonResourceURLs", urls, detail))
                continue
            if not rule.get("apiGroups"):
                detail = "resource rules must supply at least one api group"
                errors.append(field.required(f"{here}.apiGroups", detail))
            if not rule.get("resources"):
                detail = "resource rules must supply at least one resource"
                errors.append(field.required(f"{here}.resources", detail))
        return errors

    return check


validate_role = whole(shape({"rules": _rules(namespaced=True)}))
validate_cluster_role = whole(shape({"rules": _rules(namespaced=False)}))


def _subject(row: Object, path: str, namespaced: bool) -> Errors:
    kind, name, group = row.get("kind", ""), row.get("name", ""), row.get("apiGroup", "")
    errors: Errors = [] if name else [field.required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name and (wrong := formats.dns_subdomain(name)):
            errors.append(field.invalid(f"{path}.name", name, wrong))
        if group:
            errors.append(field.not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not row.get("namespace"):
            errors.append(field.required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _GROUP:
            errors.append(field.not_supported(f"{path}.apiGroup", group, (_GROUP,)))
    else:
        errors.append(field.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return errors


def _binding(namespaced: bool) -> Any:
    def check(value: Object) -> Errors:
        reference = value.get("roleRef", {})
        errors: Errors = []
        if reference.get("apiGroup") != _GROUP:
            errors.append(field.not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (_GROUP,)))
        kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
        if reference.get("kind") not in kinds:
            errors.append(field.not_supported("roleRef.kind", reference.get("kind", ""), kinds))
        name = reference.get("name", "")
        if not name:
            errors.append(field.required("roleRef.name"))
        elif wrong := formats.path_segment(name):
            errors.append(field.invalid("roleRef.name", name, wrong))
        for row, here in numbered(value.get("subjects", ()), "subjects"):
            errors += _subject(row, here, namespaced)
        return errors

    return check


validate_role_binding = _binding(namespaced=True)
validate_cluster_role_binding = _binding(namespaced=False)


def validate_binding_update(value: Object, old: Object) -> Errors:
    """The role that is given never changes: delete the binding and make another."""
    reference = value.get("roleRef", {})
    if reference == old.get("roleRef", {}):
        return []
    pairs = ", ".join(f'{go}:"{reference.get(key, "")}"' for go, key in _REFERENCE)
    return [field.invalid("roleRef", field.Go(f"rbac.RoleRef{{{pairs}}}"), "cannot change roleRef")]


_REFERENCE = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))


# ---- certificate requests --------------------------------------------------------------------------------


def _request(text: str, path: str) -> Errors:
    try:
        x509.load_pem_x509_csr(base64.b64decode(text))
    except ValueError:
        shown = field.Go("[]byte{…}")
        return [field.invalid(path, shown, "PEM block type must be CERTIFICATE REQUEST")]
    return []


def _signer(text: str, path: str) -> Errors:
    domain, slash, name = text.partition("/")
    if not slash:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [field.invalid(path, text, detail)]
    for part in (domain, name):
        if wrong := formats.dns_subdomain(part):
            return [field.invalid(path, text, f"validating label {part!r}: {wrong}".replace("'", '"', 2))]
    if "." not in domain:
        return [
            field.invalid(path, text, f'"{domain}": should be a domain with at least two segments separated by dots')
        ]
    return []


_USAGES = (
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing",
    "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
    "microsoft sgc", "netscape sgc",
)  # fmt: skip

_CSR = shape(
    {
        "usages": Required(each(one_of(*sorted(_USAGES))), "usages must contain at least one value"),
        "signerName": Required(_signer),
        "request": Required(_request),
        "expirationSeconds": lambda value, path: (
            []
            if value >= 600
            else [field.invalid(path, value, "may not specify a duration less than 600 seconds (10 minutes)")]
        ),
    }
)


def validate_request(value: Object) -> Errors:
    """A CertificateSigningRequest."""
    return _CSR(value.get("spec", {}), "spec")


validate_runtime_class = whole(shape({"handler": Required(form(formats.dns_label))}))
