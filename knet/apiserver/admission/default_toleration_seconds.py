"""DefaultTolerationSeconds: Pods that do not say otherwise leave a lost node after a while."""

from knet.api.names import NOT_READY_TAINT, UNREACHABLE_TAINT
from knet.apiserver.admission.request import Request


def admit(request: Request) -> None:
    """Add what is missing of the two tolerations."""
    spec = request.new.get("spec")
    if spec is None:
        return
    tolerations = spec.get("tolerations", [])
    for taint in (NOT_READY_TAINT, UNREACHABLE_TAINT):
        tolerated = any(
            row.get("key") in (taint, None, "") and row.get("effect") in ("NoExecute", None, "") for row in tolerations
        )
        if not tolerated:
            tolerations = [
                *tolerations,
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": request.context.timing.default_toleration,
                },
            ]
    if tolerations:
        spec["tolerations"] = tolerations
