"""What webhooks and expressions are told of a request: an AdmissionRequest without its objects."""

from knet.api.resources import Resource
from knet.apiserver.admission.request import Request
from knet.apiserver.kind import Kind
from knet.apiserver.options import DeleteOptions
from knet.store import Object


def attributes(request: Request, form: Kind) -> Object:
    """As admission.k8s.io/v1 spells it; ``form`` is the kind in whose form the object is shown."""
    asked, subresource = request.asked.resource, request.target.subresource
    more = {"subResource": subresource, "requestSubResource": subresource} if subresource else {}
    return {
        "kind": _kind(request.body or form.resource),
        "resource": _resource(form.resource),
        "requestKind": _kind(request.body or asked),
        "requestResource": _resource(asked),
        **more,
        "name": request.name,
        "namespace": request.namespace,
        "operation": request.operation,
        "userInfo": request.user.info(),
        "dryRun": request.options.dry_run,
        "options": _options(request),
    }


def _kind(row: Resource) -> Object:
    return {"group": row.group, "version": row.version, "kind": row.kind}


def _resource(row: Resource) -> Object:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def _options(request: Request) -> Object | None:
    """CreateOptions, UpdateOptions, PatchOptions or DeleteOptions; a connection has none."""
    options = request.options
    if request.operation == "CONNECT":
        return None
    found: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
    if options.dry_run:
        found["dryRun"] = ["All"]
    if isinstance(options, DeleteOptions):
        if options.grace is not None:
            found["gracePeriodSeconds"] = options.grace
        preconditions = {"uid": options.uid, "resourceVersion": options.revision}
        if given := {key: item for key, item in preconditions.items() if item}:
            found["preconditions"] = given
        if options.propagation:
            found["propagationPolicy"] = options.propagation
        return found
    found["kind"] = f"{options.operation}Options"
    found["fieldManager"] = options.writer.manager
    if options.validation != "Warn":
        found["fieldValidation"] = options.validation
    return found
