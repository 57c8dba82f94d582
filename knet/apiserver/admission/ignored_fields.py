"""Fields of pods that are stored and shown and change nothing here: their author is told so, by a Warning.

A pod that a controller has made is nobody's to hear of; its template's author has been told.
"""

from collections.abc import Callable, Iterator
from typing import Any

from knet.apiserver.admission.pod_security.plugin import TEMPLATES
from knet.apiserver.admission.request import Request
from knet.store import Object

#: says whether a value asks for something; what a kernel or a runtime does anyway is not worth a word
Asks = Callable[[Any], bool]


def _local(profile: Any) -> bool:
    return isinstance(profile, dict) and profile.get("type") == "Localhost"


_SECURITY: dict[str, Asks] = {
    "seLinuxOptions": bool,
    "seccompProfile": _local,
    "appArmorProfile": _local,
    "procMount": lambda value: value not in (None, "Default"),
}


def warn(request: Request) -> None:
    """Admission of pods and of what makes pods."""
    path = TEMPLATES.get(request.resource.group_resource, ())
    template: Object = request.new
    if not path and template["metadata"].get("ownerReferences"):
        return
    for key in path:
        template = template.get(key) or {}
    spec = template.get("spec") or {}
    where = ".".join((*path, "spec"))
    for field in ignored(spec):
        request.warn(f"{where}.{field}: stored, but ignored by knet")


def ignored(spec: Object) -> Iterator[str]:
    """The paths, below a pod's spec, of what is ignored."""
    if spec.get("resourceClaims"):
        yield "resourceClaims"
    if security := spec.get("securityContext"):
        yield from _asked("securityContext", security)
    for number, volume in enumerate(spec.get("volumes") or ()):
        scratch = volume.get("emptyDir")
        if scratch and scratch.get("sizeLimit") and scratch.get("medium") != "Memory":
            yield f"volumes[{number}].emptyDir.sizeLimit"
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or ()):
            for field in _of_container(container):
                yield f"{kind}[{number}].{field}"


def _of_container(container: Object) -> Iterator[str]:
    if security := container.get("securityContext"):
        yield from _asked("securityContext", security)
    if resources := container.get("resources"):
        for kind in ("limits", "requests"):
            for name in resources.get(kind) or ():
                if name == "ephemeral-storage" or name.startswith("hugepages-"):
                    yield f"resources.{kind}[{name}]"
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("mountPropagation") not in (None, "None"):
            yield f"volumeMounts[{number}].mountPropagation"


def _asked(path: str, security: Object) -> Iterator[str]:
    return (f"{path}.{name}" for name, asks in _SECURITY.items() if name in security and asks(security[name]))
