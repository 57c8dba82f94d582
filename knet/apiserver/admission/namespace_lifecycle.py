"""NamespaceLifecycle: nothing is created where there is no namespace or where it goes; some namespaces never go."""

from knet.api.names import SYSTEM_NAMESPACE
from knet.api.resources import NAMESPACES
from knet.apiserver.admission.request import Request
from knet.apiserver.status import StatusError, not_found

#: may never be deleted
IMMORTAL = ("default", SYSTEM_NAMESPACE, "kube-public")


def admit(request: Request) -> None:
    """Raises StatusError 403, 404."""
    if request.resource is NAMESPACES:
        if request.operation == "DELETE" and request.name in IMMORTAL:
            raise request.forbidden("this namespace may not be deleted")
        return
    if request.operation != "CREATE" or not request.resource.namespaced:
        return
    context, namespace = request.context, request.target.namespace
    record = context.store.get(context.kinds[NAMESPACES].key("", namespace))
    if record is None:
        raise not_found(NAMESPACES, namespace)
    if record.attributes.fields["status.phase"] == "Terminating":
        raise _terminating(request, namespace)


def _terminating(request: Request, namespace: str) -> StatusError:
    error = request.forbidden(f"unable to create new content in namespace {namespace} because it is being terminated")
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = {**(error.details or {}), "causes": [cause]}
    return StatusError(error.code, error.reason, error.message, details)
