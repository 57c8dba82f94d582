"""What a plugin is: a class with those methods of the scheduling framework that it has something to say at.

===========  ================================================  ====================================================
method       is asked                                          answers
===========  ================================================  ====================================================
pre_enqueue  ``(pod)`` before it may wait for its turn         why it has to wait outside, or None
sort_key     ``(pod, since)`` to order those who wait          what sorts first is next
pre_filter   ``(pod, cluster)`` once per attempt               SKIP, `Only`, a refusal, or the state for filter
filter       ``(state, pod, node)`` for each node              why this node will not do, or None
recount      ``(state, pod, other, node, by)`` in a what-if    (updates the state: ``other`` has come or, -1, gone)
post_filter  ``(cycle, diagnosis)`` when no node will do       `Nomination` or None
pre_score    ``(pod, nodes, cluster)`` with those that will    SKIP, or the state for score
score        ``(state, pod, node)`` for each of these          a number, from 0 to 100 unless normalize follows
normalize    ``(state, pod, scores)`` with all its scores      as many numbers from 0 to 100
reserve      ``(state, pod, node)`` when a node was chosen     why not after all, or None; state is filter's
unreserve    ``(state, pod, node)`` when that came to nothing
permit       ``await (state, pod, node)`` in the background    why not after all, or None; may take its time
pre_bind     ``await (state, pod, node)`` before the bind      why not after all, or None
bind         ``await (pod, node)``                             SKIP: let the next plugin do it
post_bind    ``(state, pod, node)`` after the bind
===========  ================================================  ====================================================

A refusal is a text, as users read it after a count ("3 node(s) had no free GPU"), or a `Rejection`.
https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from knet.api.objects import JSON
from knet.client import ApiError, Client, EventRecorder, Unavailable
from knet.scheduler.hints import Change

if TYPE_CHECKING:
    from knet.scheduler.cluster import Cluster
    from knet.scheduler.pod import PodInfo


class Point(NamedTuple):
    """Upstream's name, where it is enabled (a section of a profile's ``plugins``), arguments, whether it is awaited."""

    title: str
    section: str
    takes: tuple[str, ...]
    waits: bool = False


_ON_NODE = ("state", "pod", "node")

#: by method, in the order in which a pod meets them
POINTS: Mapping[str, Point] = {
    "pre_enqueue": Point("PreEnqueue", "preEnqueue", ("pod",)),
    "sort_key": Point("QueueSort", "queueSort", ("pod", "since")),
    "pre_filter": Point("PreFilter", "preFilter", ("pod", "cluster")),
    "filter": Point("Filter", "filter", _ON_NODE),
    "recount": Point("PreFilterExtension", "preFilter", ("state", "pod", "other", "node", "by")),
    "post_filter": Point("PostFilter", "postFilter", ("cycle", "diagnosis")),
    "pre_score": Point("PreScore", "preScore", ("pod", "nodes", "cluster")),
    "score": Point("Score", "score", _ON_NODE),
    "normalize": Point("NormalizeScore", "score", ("state", "pod", "scores")),
    "reserve": Point("Reserve", "reserve", _ON_NODE),
    "unreserve": Point("Unreserve", "reserve", _ON_NODE),
    "permit": Point("Permit", "permit", _ON_NODE, waits=True),
    "pre_bind": Point("PreBind", "preBind", _ON_NODE, waits=True),
    "bind": Point("Bind", "bind", ("pod", "node"), waits=True),
    "post_bind": Point("PostBind", "postBind", _ON_NODE),
}
MAX_SCORE = 100


class Skip(Enum):
    """Of pre_filter and pre_score: this pod is none of the plugin's business, ask no further."""

    SKIP = "Skip"


SKIP = Skip.SKIP


class Rejection(NamedTuple):
    """Why a node will not do, in words that follow a count: "Insufficient cpu".

    ``final``: it would not do either if pods were taken off it (upstream: UnschedulableAndUnresolvable).
    """

    reasons: tuple[str, ...]
    final: bool = False


def rejection(answer: object) -> Rejection:
    """A plugin's refusal; TypeError for what is none."""
    if isinstance(answer, Rejection):
        return answer
    if isinstance(answer, str):
        return Rejection((answer,))
    raise TypeError(f"a refusal is a text or a Rejection, not {answer!r}; None lets the pod pass")


class Only(NamedTuple):
    """Of pre_filter: no other nodes need be looked at."""

    names: frozenset[str]
    state: Any = None


class Nomination(NamedTuple):
    """Of post_filter: the node where there will be room once the victims are gone, or a message why there is none.

    ``node`` "" ends a nomination of before; None leaves it as it is.
    """

    node: str | None
    victims: "tuple[PodInfo, ...]" = ()
    message: str = ""


class Failure(Exception):
    """What a plugin raises to say in its own words that it failed."""


class PluginError(Exception):
    """A plugin failed at one of its points."""

    def __init__(self, plugin: str, point: str, error: BaseException) -> None:
        text = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
        super().__init__(f'running {POINTS[point].title} plugin "{plugin}": {text}')
        self.plugin = plugin


class Refused(Exception):
    """A plugin has changed its mind about a node: at Reserve, Permit or PreBind."""

    def __init__(self, plugin: str, reasons: tuple[str, ...]) -> None:
        super().__init__(", ".join(reasons))
        self.plugin = plugin


class running:
    """What a plugin raises becomes a PluginError, save a refusal and what the API has answered.

    No generator with contextlib, which costs three times as much: this runs some thousand times a second.
    """

    __slots__ = ("_plugin", "_point")

    def __init__(self, plugin: "Plugin", point: str) -> None:
        self._plugin = plugin
        self._point = point

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, PluginError | Refused | ApiError | Unavailable):
            raise PluginError(self._plugin.name, self._point, error) from error


class Handle(NamedTuple):
    """What a plugin gets to work with when it is set up."""

    cluster: "Cluster"
    client: Client | None = None
    events: EventRecorder | None = None


class Plugin:
    """The base of all plugins; see the module for the methods that a subclass may have.

    ``name`` is the class's own unless it says otherwise.  ``weight``: of its scores.  ``helped_by``: after which
    changes a pod that it rejected is worth another attempt; `helps` may look closer.  ``local``, said by the class
    itself: what filter says, and score where there is no normalize, follows from the node and the pod's `Shape` alone.
    """

    name: ClassVar[str] = ""
    weight: int = 1
    helped_by: ClassVar[frozenset[Change]] = frozenset(Change)
    local: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = cls.__name__

    def setup(self, handle: Handle, args: JSON) -> None:
        """Called once before all else; ``args`` are the plugin's pluginConfig. ValueError: they are wrong."""

    def helps(self, pod: "PodInfo", change: Change, old: Any, new: Any) -> bool:
        """Whether a change could help a pod that it rejected; ``old`` and ``new`` are Nodes or Pods, None: absent."""
        return True


def method(plugin: Plugin, point: str) -> Callable[..., Any] | None:
    """The plugin's method for a point, if it has one."""
    return getattr(plugin, point, None)


def highest_is_best(scores: Sequence[float]) -> Sequence[float]:
    """In proportion to the highest (helper.DefaultNormalizeScore)."""
    top = max(scores, default=0)
    return [MAX_SCORE * score // top for score in scores] if top else scores


def highest_is_worst(scores: Sequence[float]) -> Sequence[float]:
    """As above, reversed: what was scored 0 gets 100."""
    top = max(scores, default=0)
    return [MAX_SCORE - MAX_SCORE * score // top for score in scores] if top else [MAX_SCORE] * len(scores)
