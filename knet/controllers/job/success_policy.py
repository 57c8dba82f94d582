"""successPolicy: which indexes are enough for an Indexed Job to have succeeded (KEP-3998)."""

from knet.api.batch import SuccessPolicy
from knet.controllers.job.indexes import parse


def met(policy: SuccessPolicy | None, succeeded: frozenset[int], completions: int) -> str:
    """Which rule is met, in upstream's words; "" while none is."""
    for place, rule in enumerate(policy.rules if policy is not None else ()):
        among = succeeded
        needed = rule.succeededCount
        if rule.succeededIndexes is not None:
            wanted = parse(rule.succeededIndexes, completions)
            among = succeeded & wanted
            needed = len(wanted) if needed is None else needed
        if needed is not None and len(among) >= needed:
            return f"Matched rules at index {place}"
    return ""
