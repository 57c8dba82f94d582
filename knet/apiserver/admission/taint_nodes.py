"""TaintNodesByCondition: a new Node takes no Pods until the node lifecycle controller has seen it ready."""

from knet.api.names import NOT_READY_TAINT
from knet.apiserver.admission.request import Request


def admit(request: Request) -> None:
    """Taint a Node as it is created."""
    taints = request.new.setdefault("spec", {}).setdefault("taints", [])
    if not any(row.get("key") == NOT_READY_TAINT and row.get("effect") == "NoSchedule" for row in taints):
        taints.append({"key": NOT_READY_TAINT, "effect": "NoSchedule"})
