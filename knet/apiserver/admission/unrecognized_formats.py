"""Formats in the schemas of a CustomResourceDefinition that nobody checks: their author is told so, by a Warning.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

from knet.api.structural import walk
from knet.apiserver.admission.request import Request
from knet.apiserver.custom.formats import FORMATS, NUMERIC


def warn(request: Request) -> None:
    """Each format once, in the order of the schemas."""
    schemas = [(row.get("schema") or {}).get("openAPIV3Schema") or {} for row in request.new["spec"]["versions"]]
    named = [node.get("format") for schema in schemas for _, node in walk(schema, "")]
    for name in dict.fromkeys(filter(None, named)):
        if name not in FORMATS and name not in NUMERIC:
            request.warn(f'unrecognized format "{name}"')
