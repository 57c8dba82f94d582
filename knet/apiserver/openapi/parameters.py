"""The query parameters of the operations."""

from knet.store import Object


def parameter(name: str, description: str, kind: str = "string", where: str = "query") -> Object:
    """One parameter; ``where`` is query or path."""
    schema: Object = {"type": kind, "uniqueItems": True}
    if kind == "array":
        schema |= {"uniqueItems": False, "items": {"type": "string"}}
    row: Object = {"name": name, "in": where, "description": description, "schema": schema}
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
_CONTAINER = parameter("container", "The container; the only one of the pod, if there is just one.")
_STREAMS = [
    _CONTAINER,
    parameter("stderr", "Whether standard error is sent to the client.", "boolean"),
    parameter("stdin", "Whether standard input comes from the client.", "boolean"),
    parameter("stdout", "Whether standard output is sent to the client.", "boolean"),
    parameter("tty", "Whether the command gets a terminal.", "boolean"),
]
#: subresources that are connections, and not objects → what they are asked with
CONNECT: dict[str, list[Object]] = {
    "attach": _STREAMS,
    "exec": [parameter("command", "The command to run, word by word; no shell reads it.", "array"), *_STREAMS],
    "portforward": [parameter("ports", "The ports to forward, where WebSockets carry them.", "integer")],
    "proxy": [parameter("path", "The part of URLs after the name of what is reached.")],
}
#: subresources that are read with parameters
READ: dict[str, list[Object]] = {
    "log": [
        _CONTAINER,
        parameter("follow", "Whether to go on as the log grows.", "boolean"),
        parameter("insecureSkipTLSVerifyBackend", "Whether not to check the kubelet's certificate.", "boolean"),
        parameter("limitBytes", "The number of bytes after which the answer ends.", "integer"),
        parameter("previous", "Whether the log is that of the container before the last restart.", "boolean"),
        parameter("sinceSeconds", "How far back the log goes, in seconds.", "integer"),
        parameter("stream", "All, Stdout or Stderr."),
        parameter("tailLines", "The number of lines, counted from the end.", "integer"),
        parameter("timestamps", "Whether each line begins with its time, in RFC 3339.", "boolean"),
    ]
}
