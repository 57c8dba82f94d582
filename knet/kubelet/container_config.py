"""From a container's spec and its image to what the runtime starts: a pure step, but for directories of subPaths."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from knet.api.objects import Container, Pod
from knet.api.quantity import milli, whole
from knet.images import Image
from knet.kernel import privileges
from knet.kernel.cgroup import Limits
from knet.kubelet.environment import ConfigError, CreateError
from knet.kubelet.expansion import expand, missing
from knet.kubelet.runtime.containers import ContainerConfig, Mount, Running
from knet.kubelet.runtime.sandbox import Sandbox
from knet.kubelet.volumes import read_only

log = logging.getLogger(__name__)


def container_config(
    pod: Pod,
    container: Container,
    number: int,
    image: Image,
    env: dict[str, str],
    volumes: Mapping[str, Path],
    beside: int = 0,
) -> ContainerConfig:
    """The runtime's order for run ``number``; ``env`` is the spec's, ``volumes`` where each one is on the machine.

    ``beside`` is the answer of `process_namespace`.  Raises ConfigError for what the spec asks and nobody can give.
    """
    security, of_pod = container.securityContext, pod.spec.securityContext
    try:
        capabilities = privileges.select(security.capabilities.add, security.capabilities.drop)
    except ValueError as error:
        raise CreateError(str(error)) from None
    uid = security.runAsUser if security.runAsUser is not None else of_pod.runAsUser
    gid = security.runAsGroup if security.runAsGroup is not None else of_pod.runAsGroup
    if security.runAsNonRoot if security.runAsNonRoot is not None else of_pod.runAsNonRoot:
        _refuse_root(pod, container, uid, image)
    more = () if of_pod.fsGroup is None else (of_pod.fsGroup,)
    return ContainerConfig(
        name=container.name,
        number=number,
        image=image,
        argv=arguments(container, image, env),
        env={**image.env, **env},
        cwd=container.workingDir or image.workdir,
        mounts=_mounts(pod, container, env, volumes),
        user=image.user if uid is None else str(uid),
        group=gid,
        groups=tuple(dict.fromkeys((*of_pod.supplementalGroups, *more))),
        capabilities=frozenset(privileges.NUMBERS) if security.privileged else capabilities,
        privileged=security.privileged,
        no_new_privileges=not security.allowPrivilegeEscalation,
        read_only=security.readOnlyRootFilesystem,
        stdin=container.stdin,
        tty=container.tty,
        limits=limits(container),
        messages=container.terminationMessagePath,
        logs_as_message=container.terminationMessagePolicy == "FallbackToLogsOnError",
        beside=beside,
    )


def process_namespace(pod: Pod, container: Container, sandbox: Sandbox, running: Mapping[str, Running | None]) -> int:
    """The process whose PID namespace a container is to share, 0 for one of its own; ConfigError if it does not run."""
    if target := container.targetContainerName:
        found = running.get(target)
        if found is None:
            raise ConfigError(f"unable to find target container {target}")
        return found.record.pid
    if pod.spec.hostPID:
        return os.getpid()
    return sandbox.process.pid if pod.spec.shareProcessNamespace else 0


def arguments(container: Container, image: Image, env: Mapping[str, str]) -> tuple[str, ...]:
    """command replaces ENTRYPOINT and CMD, args only CMD; raises ConfigError where nothing is left to run."""
    given = [expand(word, env) for word in container.args]
    if container.command:
        argv = [*(expand(word, env) for word in container.command), *given]
    else:
        argv = [*image.entrypoint, *(given or image.cmd)]
    if not argv:
        raise CreateError(f"no command specified: the image {image.name} has none of its own")
    return tuple(argv)


def _refuse_root(pod: Pod, container: Container, uid: int | None, image: Image) -> None:
    """ConfigError for a container that would run as root, or might (upstream's verifyRunAsNonRoot)."""
    where = f'(pod: "{pod.name}_{pod.namespace}({pod.uid})", container: {container.name})'
    if uid == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
    if uid is None and image.user in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if uid is None and not image.user.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.user}), cannot verify user is non-root"
            f" {where}"
        )


def limits(container: Container) -> Limits:
    """What its cgroup gets; nothing asked, no cgroup."""
    wanted, granted = container.resources.requests, container.resources.limits
    cpu, memory = granted.get("cpu", 0), granted.get("memory", 0)
    return Limits(cpu_limit=milli(cpu), cpu_request=milli(wanted.get("cpu", cpu)), memory_limit=whole(memory))


def _mounts(pod: Pod, container: Container, env: Mapping[str, str], volumes: Mapping[str, Path]) -> tuple[Mount, ...]:
    by_name = {volume.name: volume for volume in pod.spec.volumes}
    found = []
    for row in container.volumeMounts:
        if row.name not in volumes:
            raise ConfigError(f'cannot find volume "{row.name}" to mount into container "{container.name}"')
        source = volumes[row.name]
        if unset := missing(row.subPathExpr, env):
            raise ConfigError(f"missing value for {', '.join(unset)}")
        if below := row.subPath or expand(row.subPathExpr, env):
            source = _below(source, below, f'volumeMount "{row.name}" of container "{container.name}"')
        found.append(Mount(source, row.mountPath, row.readOnly or read_only(by_name[row.name])))
    return tuple(found)


def _below(volume: Path, sub_path: str, whose: str) -> Path:
    """A file or directory inside a volume, made if it is not there; never outside of it.

    ConfigError without the details, which as upstream only the log tells: they could be of the machine's files.
    """
    there = False
    try:
        place = (volume / sub_path).resolve()
        there = place.exists()
        if not place.is_relative_to(volume.resolve()):
            raise PermissionError(f"{place} is outside of its volume {volume}")
        if not there:
            place.mkdir(parents=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        log.warning("subPath %s for %s: %s", sub_path, whose, error)
        what = "prepare subPath" if there else "create subPath directory"
        raise ConfigError(f"failed to {what} for {whose}") from None
    return place
