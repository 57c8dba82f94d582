"""Getting a container's image: by its pull policy, with upstream's waiting reasons, Events and growing pauses.

A failed pull shows as ErrImagePull, a moment later as ImagePullBackOff until the next attempt.
"""

from dataclasses import dataclass

from knet.api.objects import Container, Pod
from knet.images import CatalogueError, Image, InvalidReference, MissingProgram, UnknownImage
from knet.kubelet.backoff import duration
from knet.kubelet.machine import Machine
from knet.kubelet.state import Waiting

#: seconds for which ErrImagePull shows
ERROR_SHOWN = 1.0


@dataclass(frozen=True)
class NoImage:
    """Why there is none, and in how many seconds to ask again."""

    waiting: Waiting
    retry_after: float


def pull(machine: Machine, pod: Pod, container: Container, shown: Waiting | None) -> Image | NoImage:
    """The image, unpacked on this machine; ``shown`` is what the container's status says at present."""
    name, now, timing = container.image, machine.now(), machine.timing
    key = f"{pod.uid}/{container.name}/{name}"

    def tell(kind: str, reason: str, message: str) -> None:
        machine.events.event(pod, kind, reason, message)

    try:
        present = machine.images.present(name)
        if present is not None and container.imagePullPolicy != "Always":
            tell("Normal", "Pulled", f'Container image "{name}" already present on machine')
            return present
        if container.imagePullPolicy == "Never":
            text = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", text)
            tell("Warning", "Failed", "Error: ErrImageNeverPull")
            return NoImage(Waiting("ErrImageNeverPull", text), timing.image_backoff)
        if shown is not None and shown.reason == "ErrImagePull":
            tell("Normal", "BackOff", f'Back-off pulling image "{name}"')
            tell("Warning", "Failed", "Error: ImagePullBackOff")
            pause = max(machine.image_backoff.delay(key, now) - ERROR_SHOWN, 0.0)
            text = f'Back-off pulling image "{name}": ErrImagePull: {shown.message}'
            return NoImage(Waiting("ImagePullBackOff", text), pause)
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        image = machine.images.pull(name)
    except InvalidReference as error:
        text = f'Failed to apply default image tag "{name}": {error}'
        tell("Warning", "InspectFailed", text)
        tell("Warning", "Failed", "Error: InvalidImageName")
        return NoImage(Waiting("InvalidImageName", text), timing.image_backoff_max)
    except (UnknownImage, CatalogueError, MissingProgram, OSError) as error:
        tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
        tell("Warning", "Failed", "Error: ErrImagePull")
        machine.image_backoff.next(key, now)
        return NoImage(Waiting("ErrImagePull", str(error)), ERROR_SHOWN)
    machine.image_backoff.reset(key)
    took = duration(machine.now() - now)
    size = f"Image size: {image.size} bytes."
    tell("Normal", "Pulled", f'Successfully pulled image "{name}" in {took} ({took} including waiting). {size}')
    return image
