"""create: from a body to a new record, the same way for every kind.

Order, as upstream: decode and check types → defaults → mutating admission → name, initial state and the metadata that
belong to the server → validation → validating admission → allocation → compare-and-swap with "is not there".
"""

import copy
import random
import uuid

from knet.apiserver import ownership, representation
from knet.apiserver.admission import Request
from knet.apiserver.authorization.attributes import of_target, refusal
from knet.apiserver.body import parsed_body
from knet.apiserver.call import Call
from knet.apiserver.context import NAME_ALPHABET, Context, now
from knet.apiserver.decoding import SERVER_METADATA, decode, dedup_owners, normalise, place
from knet.apiserver.http import Response
from knet.apiserver.kind import Kind
from knet.apiserver.options import WriteOptions, write_options
from knet.apiserver.routes import Target
from knet.apiserver.status import StatusError, already_exists, bad_request, invalid
from knet.apiserver.validation import metadata as metadata_validation
from knet.store import Conflict, Object, Record

#: attempts at a generated name
ATTEMPTS = 8


async def create(call: Call) -> Response:
    """POST to a collection."""
    options = write_options(call.query, "Create", call.writer)
    kind = call.target.kind
    value = decode(kind, await parsed_body(call.request, kind.type), options)
    record = await create_object(call.context, call.target, value, options)
    return representation.written(call, record, 201, options.warnings)


def authorize_create(call: Call) -> None:
    """Who puts or applies what is not there has to be allowed to create it; StatusError 403."""
    wanted = of_target(call.user, call.request, call.target)._replace(verb="create")
    decision = call.context.authorizer.decide(wanted)
    if not decision.allowed:
        raise refusal(wanted, decision.reason)


async def create_object(
    context: Context, target: Target, value: Object, options: WriteOptions, tracked: bool = False
) -> Record:
    """Complete, check and store a new object whose types are right; StatusError 400, 403, 404, 409, 422.

    ``tracked``: its managedFields are right already.
    """
    normalise(target.kind, value)
    place(target, value["metadata"])
    dedup_owners(value["metadata"], options)
    if not tracked:
        ownership.track_new(target.kind, value, options)
    form = None
    if target.kind.conversion:
        form = target.kind
        value = form.to_stored(value)
        target = target.stored
        normalise(target.kind, value)
    kind, metadata = target.kind, value["metadata"]
    if metadata.get("resourceVersion", "") not in ("", "0"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in SERVER_METADATA:
        metadata.pop(key, None)
    request = Request(context, target, "CREATE", value, None, options, form=form)
    await context.admission.mutate(request)
    metadata = value["metadata"]
    dedup_owners(metadata, options, admitted=True)
    generate = metadata.get("generateName", "") if not metadata.get("name") else ""
    for attempt in range(ATTEMPTS):
        if generate:
            metadata["name"] = generate[:58] + "".join(random.choices(NAME_ALPHABET, k=5))
            kind.strategy.default(value)
        try:
            return await _create_once(request)
        except StatusError as error:
            if not generate or error.reason != "AlreadyExists" or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _create_once(request: Request) -> Record:
    context, kind, value, options = request.context, request.target.kind, request.new, request.options
    metadata = value["metadata"]
    # unique, not secret: uuid4() would ask the kernel for 16 bytes, which costs more than the rest of this function
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = now()
    if kind.strategy.generation:
        metadata["generation"] = 1
    if kind.has_status and not kind.strategy.status_on_create:
        if kind.is_custom:
            value.pop("status", None)
        else:
            value["status"] = copy.deepcopy(kind.strategy.first_status)
    kind.strategy.prepare_create(value)
    strategy = kind.strategy
    errors = metadata_validation.validate(metadata, kind) + strategy.validate(value) + strategy.validate_create(value)
    if errors:
        raise invalid(kind.resource.group, kind.resource.kind, metadata.get("name", ""), errors)
    key = kind.key(metadata.get("namespace", ""), metadata["name"])
    try:
        await context.admission.validate(request)
        with context.allocations.claim(kind, value, None, keep=not options.dry_run):
            if options.dry_run:
                if context.store.get(key) is not None:
                    raise _exists(context, kind, key, metadata)
                return representation.dry_record(value, "")
            return await context.store.write(key, value, 0, by=options.writer)
    except Conflict:
        raise _exists(context, kind, key, metadata) from None
    finally:
        if request.settling:
            await request.settle()


def _exists(context: Context, kind: Kind, key: str, metadata: Object) -> StatusError:
    """409: as upstream says it, of a name with a generateName beside it, whoever chose the name."""
    record = context.store.get(key)
    going = record is not None and "deletionTimestamp" in record.decode()["metadata"]
    return already_exists(kind.resource, metadata["name"], bool(metadata.get("generateName")), going)
