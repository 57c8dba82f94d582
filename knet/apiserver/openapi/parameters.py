"""The query parameters of the operations."""

from knet.store import Object


def parameter(name: str, description: str, kind: str = "string", where: str = "query") -> Object:
    """One parameter; ``where`` is query or path."""
    row: Object = {"name": name, "in": where, "description": description, "schema": {"type": kind, "uniqueItems": True}}
    if where == "path":
        row["required"] = True
    return row


PRETTY = parameter("pretty", "If 'true', then the output is pretty printed.")
WRITE = [
    parameter("dryRun", "When present, indicates that modifications should not be persisted. Valid values are: All"),
    parameter(
        "fieldManager", "fieldManager is a name associated with the actor or entity that is making these changes."
    ),
    parameter(
        "fieldValidation",
        "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing"
        " unknown or duplicate fields. Valid values are: Ignore, Warn, Strict",
    ),
]
LIST = [
    parameter("allowWatchBookmarks", "allowWatchBookmarks requests watch events with type BOOKMARK.", "boolean"),
    parameter("continue", "The continue option should be set when retrieving more results from the server."),
    parameter("fieldSelector", "A selector to restrict the list of returned objects by their fields."),
    parameter("labelSelector", "A selector to restrict the list of returned objects by their labels."),
    parameter("limit", "limit is a maximum number of responses to return for a list call.", "integer"),
    parameter(
        "resourceVersion", "resourceVersion sets a constraint on what resource versions a request may be served from."
    ),
    parameter("resourceVersionMatch", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    parameter("sendInitialEvents", "`sendInitialEvents=true` may be set together with `watch=true`.", "boolean"),
    parameter("timeoutSeconds", "Timeout for the list/watch call.", "integer"),
    parameter("watch", "Watch for changes to the described resources.", "boolean"),
]
DELETE = [
    WRITE[0],
    parameter("gracePeriodSeconds", "The duration in seconds before the object should be deleted.", "integer"),
    parameter("propagationPolicy", "Whether and how garbage collection will be performed."),
]
