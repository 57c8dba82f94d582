"""A Service's address families: what is asked for, completed by what the cluster has.

``ipFamilyPolicy``, ``ipFamilies`` and ``clusterIPs`` say the same in three ways, and any of them may be left out.
upstream: pkg/registry/core/service/storage/alloc.go (initIPFamilyFields) and ValidateServiceClusterIPsRelatedFields.
https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from collections.abc import Sequence

from knet.api.families import FAMILIES, family_of
from knet.apiserver import field, formats
from knet.apiserver.field import Errors
from knet.apiserver.formats import INVALID_IP
from knet.store import Object

SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
POLICIES = (PREFER, REQUIRE, SINGLE)
_POLICY = "spec.ipFamilyPolicy"


def settle(spec: Object, before: Object | None, configured: Sequence[str]) -> Errors:
    """Fill in policy and families, in place; or what is wrong with them.

    ``configured`` are the families that the cluster has addresses for, the primary one first.  Addresses that are
    missing are for the caller to add, so that there is one for each family.
    """
    if spec.get("type") == "ExternalName" or (before is not None and _prefers_as_before(spec, before)):
        return []
    lone = spec.get("clusterIP") == "None" and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        inherited = before and before.get("ipFamilyPolicy")
        spec["ipFamilyPolicy"] = inherited or (REQUIRE if lone else SINGLE)
    if errors := _malformed(spec):
        return errors
    errors = _released(spec, before) if before else []
    errors += _superfluous(spec)
    families = spec["ipFamilies"] = list(spec.get("ipFamilies") or ())
    for index, address in enumerate(_addresses(spec)):
        if index >= len(families):
            if family_of(address) in configured:
                families.append(family_of(address))
            else:
                why = f"{family_of(address)} is not configured on this cluster"
                errors.append(field.invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], why))
    if not errors and not lone:
        errors = _impossible(spec, configured)
    if errors:
        return errors
    families += [] if families else configured[:1]
    dual = lone or len(configured) == 2
    if spec["ipFamilyPolicy"] != SINGLE and dual and len(families) == 1:
        families += [family for family in FAMILIES if family not in families]
    return []


def unchanged(spec: Object, before: Object) -> Errors:
    """What of an update changes an address or a family that is given for life: the primary ones, and a secondary one
    as long as there is one (validateUpgradeDowngradeClusterIPs, …IPFamilies)."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    headless, was_headless = (row.get("clusterIPs") == ["None"] for row in (spec, before))
    errors: Errors = []
    if not (headless and was_headless):
        errors += _differing("clusterIPs", spec, before)
    if not headless and not was_headless:
        errors += _differing("ipFamilies", spec, before)
    return errors


def _differing(key: str, spec: Object, before: Object) -> Errors:
    now = spec.get(key, [])
    return [
        field.invalid(f"spec.{key}[{index}]", now, "may not change once set")
        for index, (one, other) in enumerate(zip(now, before.get(key, ()), strict=False))
        if one != other
    ]


def _prefers_as_before(spec: Object, before: Object) -> bool:
    """A Service that prefers two families keeps what it has when the cluster gets another one, or loses it."""
    same = ("type", "ipFamilyPolicy", "clusterIPs", "ipFamilies")
    return spec.get("ipFamilyPolicy") == PREFER and all(spec.get(key) == before.get(key) for key in same)


def _malformed(spec: Object) -> Errors:
    """Each field by itself, and whether they fit each other."""
    errors: Errors = []
    first, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    families = spec.get("ipFamilies") or []
    if first and not addresses:
        errors.append(field.required("spec.clusterIPs"))
    elif first and addresses[0] != first:
        errors.append(field.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        errors.append(field.invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(field.not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in families[:index]:
            errors.append(field.duplicate(f"spec.ipFamilies[{index}]", family))
    if spec["ipFamilyPolicy"] not in POLICIES:
        errors.append(field.not_supported(_POLICY, spec["ipFamilyPolicy"], POLICIES))
    wrong: Errors = []
    if addresses[:1] == ["None"] and len(addresses) > 1:
        wrong = [field.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")]
    rest = [(index, text) for index, text in enumerate(addresses) if (index, text) != (0, "None")]
    wrong += [field.invalid(f"spec.clusterIPs[{i}]", text, INVALID_IP) for i, text in rest if formats.ip_address(text)]
    if len(addresses) > 2:
        errors.append(field.invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if wrong:
        return errors + wrong
    kinds = [family_of(text) for text in addresses]
    if len(addresses) > 1 and len(set(kinds)) != len(kinds):
        why = "may specify no more than one IP for each IP family"
        errors.append(field.invalid("spec.clusterIPs", addresses, why))
    for index, (text, family) in enumerate(zip(_addresses(spec), families, strict=False)):
        if family in FAMILIES and family_of(text) != family:
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(field.invalid(f"spec.clusterIPs[{index}]", text, why))
    return errors


def _released(spec: Object, before: Object) -> Errors:
    """Of an update: a second address or family goes by the policy SingleStack, and not otherwise."""
    errors: Errors = []
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, former = spec.get(key) or [], before.get(key, [])
        if spec["ipFamilyPolicy"] == SINGLE:
            if now == former and len(now) > 1:
                spec[key] = now[:1]
        elif now and len(now) < len(former):
            why = f"must be 'SingleStack' to release the secondary {what}"
            errors.append(field.invalid(_POLICY, spec["ipFamilyPolicy"], why))
    return errors


def _superfluous(spec: Object) -> Errors:
    if spec["ipFamilyPolicy"] != SINGLE:
        return []
    return [
        field.invalid(
            _POLICY, SINGLE, f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
        )
        for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(spec.get(key) or ()) == 2
    ]


def _impossible(spec: Object, configured: Sequence[str]) -> Errors:
    errors: Errors = []
    if spec["ipFamilyPolicy"] == REQUIRE and len(configured) < 2:
        errors.append(field.invalid(_POLICY, REQUIRE, "this cluster is not configured for dual-stack services"))
    for index, family in enumerate(spec["ipFamilies"]):
        if family not in configured:
            errors.append(field.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
    return errors


def _addresses(spec: Object) -> list[str]:
    """The cluster IPs, none of a headless Service."""
    addresses: list[str] = spec.get("clusterIPs") or []
    return [] if addresses == ["None"] else addresses
