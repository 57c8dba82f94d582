"""Which plugins each profile has: Kubernetes' own, those of a user's file, and what a KubeSchedulerConfiguration says.

Read strictly: a field or plugin that does not exist is refused with its path.
https://kubernetes.io/docs/reference/scheduling/config/
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from knet.api.names import DEFAULT_SCHEDULER
from knet.api.objects import JSON
from knet.scheduler.cluster import Cluster
from knet.scheduler.framework import Framework
from knet.scheduler.loading import LoadError, load
from knet.scheduler.plugin import POINTS, Handle, Plugin
from knet.scheduler.plugins import DEFAULT_PLUGINS
from knet.scheduler.plugins.default_binder import DefaultBinder

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
ALL = "*"


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Named(_Struct, frozen=True, kw_only=True):
    name: str
    weight: int = 0


class _Set(_Struct, frozen=True, kw_only=True):
    enabled: tuple[_Named, ...] = ()
    disabled: tuple[_Named, ...] = ()


class _Sets(_Struct, frozen=True, kw_only=True):
    multiPoint: _Set = _Set()
    preEnqueue: _Set = _Set()
    queueSort: _Set = _Set()
    preFilter: _Set = _Set()
    filter: _Set = _Set()
    postFilter: _Set = _Set()
    preScore: _Set = _Set()
    score: _Set = _Set()
    reserve: _Set = _Set()
    permit: _Set = _Set()
    preBind: _Set = _Set()
    bind: _Set = _Set()
    postBind: _Set = _Set()


class _PluginConfig(_Struct, frozen=True, kw_only=True):
    name: str
    args: JSON = {}


class _Profile(_Struct, frozen=True, kw_only=True):
    schedulerName: str = DEFAULT_SCHEDULER
    percentageOfNodesToScore: int | None = None
    plugins: _Sets = _Sets()
    pluginConfig: tuple[_PluginConfig, ...] = ()


class Configuration(_Struct, frozen=True, kw_only=True):
    """A file's content. ``leaderElection`` and such are taken and left alone: the cluster sees to that."""

    apiVersion: str
    kind: str
    profiles: tuple[_Profile, ...] = (_Profile(),)
    percentageOfNodesToScore: int = 0
    podInitialBackoffSeconds: float | None = None
    podMaxBackoffSeconds: float | None = None
    parallelism: int = 16
    leaderElection: Any = None
    clientConnection: Any = None
    enableProfiling: Any = None
    enableContentionProfiling: Any = None
    delayCacheUntilActive: Any = None


class Profile(NamedTuple):
    """One scheduler's plugins by point, in order, with the weights of their scores and everybody's arguments."""

    name: str
    points: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, int]
    args: Mapping[str, JSON]
    percentage: int

    def framework(self, registry: Mapping[str, type[Plugin]], handle: Handle) -> Framework:
        """Its plugins made and set up; ValueError names the one whose arguments are wrong."""
        made: dict[str, Plugin] = {}
        for name in dict.fromkeys(name for names in self.points.values() for name in names):
            plugin = made[name] = registry[name]()
            plugin.weight = self.weights.get(name, plugin.weight)
            try:
                plugin.setup(handle, self.args.get(name, {}))
            except ValueError as error:
                raise ValueError(f"profile {self.name}: arguments of {name}: {error}") from None
            except Exception as error:
                text = f"{name}.setup fails: {type(error).__name__}: {error}"
                raise ValueError(f"profile {self.name}: {text}") from error
        points = {point: [made[name] for name in names] for point, names in self.points.items()}
        return Framework(self.name, points, handle.cluster, self.percentage)


class Setup(NamedTuple):
    """All profiles, the plugins they may have, and what else a file says."""

    registry: Mapping[str, type[Plugin]]
    profiles: tuple[Profile, ...]
    initial_backoff: float | None = None
    max_backoff: float | None = None

    def frameworks(self, handle: Handle) -> dict[str, Framework]:
        return {profile.name: profile.framework(self.registry, handle) for profile in self.profiles}


def setup(plugin_file: str = "", config_file: str = "", name: str = DEFAULT_SCHEDULER) -> Setup:
    """What the files say; "" for none. ``name`` is the only profile's where no file says. ValueError in one line."""
    registry = with_plugins(load(plugin_file) if plugin_file else ())
    try:
        given = read(config_file) if config_file else _default(name)
        profiles = tuple(
            _profile(row, given.percentageOfNodesToScore, registry, f"profiles[{index}]")
            for index, row in enumerate(given.profiles)
        )
        found = Setup(registry, profiles, given.podInitialBackoffSeconds, given.podMaxBackoffSeconds)
        if len({profile.name for profile in profiles}) < len(profiles):
            raise ValueError("profiles: two have the same schedulerName")
        if len({profile.points["sort_key"] for profile in profiles}) > 1:
            raise ValueError("profiles: queueSort has to be the same in all")
        found.frameworks(Handle(Cluster()))
    except ValueError as error:
        if config_file:
            raise ValueError(f"{config_file}: {error}") from None
        raise LoadError(f"{plugin_file}: {error}") from None
    return found


def _default(name: str) -> Configuration:
    return Configuration(apiVersion=API_VERSION, kind=KIND, profiles=(_Profile(schedulerName=name),))


def read(path: str) -> Configuration:
    try:
        body = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ValueError(f"{reason}") from None
    try:
        found = msgspec.convert(body, Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if (found.apiVersion, found.kind) != (API_VERSION, KIND):
        raise ValueError(f"it should be of apiVersion {API_VERSION} and kind {KIND}")
    return found


def with_plugins(more: Iterable[type[Plugin]]) -> dict[str, type[Plugin]]:
    """Kubernetes' plugins and a user's, by name; a user's of the same name takes the place of one of ours.

    New ones come last, but before the one that binds whatever nobody else has bound.
    """
    found = {cls.name: cls for cls in DEFAULT_PLUGINS}
    binder = found.pop(DefaultBinder.name)
    found |= {cls.name: cls for cls in more}
    return {**found, binder.name: found.pop(binder.name, binder)}


def _profile(given: _Profile, percentage: int, registry: Mapping[str, type[Plugin]], where: str) -> Profile:
    weights: dict[str, int] = {}
    everywhere = _merged(list(registry), given.plugins.multiPoint, registry, f"{where}.plugins.multiPoint")
    points = {}
    for name, point in POINTS.items():
        chosen: _Set = getattr(given.plugins, point.section)
        names = _at_point(everywhere, chosen, registry, f"{where}.plugins.{point.section}")
        points[name] = tuple(row for row in names if hasattr(registry[row], name))
        if name == "score":
            weights = {row.name: row.weight for row in chosen.enabled if row.weight}
    for row in given.plugins.multiPoint.enabled:
        if row.weight:
            weights.setdefault(row.name, row.weight)
    for config in given.pluginConfig:
        _known(config.name, registry, f"{where}.pluginConfig")
    share = given.percentageOfNodesToScore if given.percentageOfNodesToScore is not None else percentage
    if not 0 <= share <= 100:
        raise ValueError(f"percentageOfNodesToScore: {share} is not in the range 0-100")
    args = {row.name: row.args for row in given.pluginConfig}
    return Profile(given.schedulerName, points, weights, args, share)


def _merged(base: Sequence[str], chosen: _Set, registry: Mapping[str, type[Plugin]], where: str) -> list[str]:
    """A list of names with some taken out and others put in, those that were there before in their place."""
    off = {row.name for row in chosen.disabled}
    on = [row.name for row in chosen.enabled]
    for name in (*(off - {ALL}), *on):
        _known(name, registry, where)
    left = [name for name in base if name in on or (name not in off and ALL not in off)]
    if ALL in off or off & set(on):  # taken out to be put in anew: in the order given
        return [name for name in left if name not in on] + on
    return left + [name for name in on if name not in left]


def _at_point(
    everywhere: Sequence[str], chosen: _Set, registry: Mapping[str, type[Plugin]], where: str
) -> tuple[str, ...]:
    """What is enabled at one point comes first where it is enabled everywhere too, else last (upstream's order)."""
    off = {row.name for row in chosen.disabled}
    on = [row.name for row in chosen.enabled]
    for name in (*(off - {ALL}), *on):
        _known(name, registry, where)
    first = [name for name in on if name in everywhere]
    rest = [name for name in everywhere if name not in on and name not in off and ALL not in off]
    return tuple(first + rest + [name for name in on if name not in everywhere])


def _known(name: str, registry: Mapping[str, type[Plugin]], where: str) -> None:
    if name not in registry:
        raise ValueError(f"{where}: there is no plugin {name!r}; there are {', '.join(registry)}")
