"""From a name or a file to a Mininet ``Topo``, with every mistake told as one line that names file and line.

A topology file follows Mininet's convention for ``mn --custom``: it defines ``topos = {"name": TopoClass}`` (or any
callable that returns a ``Topo``).  While it builds its graph, the line of every ``addHost``, ``addSwitch`` and
``addLink`` is noted on the ``Topo``, so that later checks can point at it.
"""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from knet.underlay.describe import describe
from knet.underlay.plan import TopologyError
from knet.underlay.upstream import Topo

__all__ = ["Declarations", "TopologyError", "built_in", "describe", "load"]

#: built-in topologies: beside the package in a checkout, or where setup.cfg's data_files put them
_PLACES = (Path(__file__).parents[2] / "topologies", Path(sys.prefix, "share", "knet", "topologies"))


@dataclass
class Declarations:
    """Where a ``Topo`` was told about its nodes and links; ``topo.declarations`` of one that `load` returned."""

    name: str
    """of the topology"""
    file: str
    nodes: dict[str, str] = field(default_factory=dict)
    """node → ``file:line``"""
    links: dict[tuple[str, str, int], str] = field(default_factory=dict)
    """(node1, node2, key), as passed to addLink → ``file:line``"""


class _Spec(NamedTuple):
    """``leaf_spine,spines=2`` or ``labs/mine.py:ring,n=4``, taken apart."""

    file: Path
    shown: str
    name: str
    parameters: dict[str, object]


def built_in() -> dict[str, Path]:
    """The topologies that come with knet, by name."""
    return {path.stem: path for place in reversed(_PLACES) for path in sorted(place.glob("*.py"))}


def load(spec: str, workers: int | None = None) -> Any:
    """The ``Topo`` that ``spec`` names, built with that many workers (None: as many as it has by default).

    ``spec`` is the name of a built-in topology or the path of a file, then, as for ``mn --topo``, perhaps parameters:
    ``leaf_spine,leaves=3``; a file with several topologies also needs the name of one: ``mine.py:ring``.
    Raises `TopologyError`.
    """
    wanted = _parse(spec)
    parameters = wanted.parameters if workers is None else {**wanted.parameters, "workers": workers}
    with _mistakes_of(wanted.shown):
        factory = _choose(wanted, _execute(wanted))
        _check_parameters(wanted, factory, parameters)
        with _recording(Declarations(wanted.name or wanted.file.stem, wanted.shown)):
            topo = factory(**parameters)
    if not isinstance(topo, Topo):
        raise TopologyError(f"{wanted.shown}: topos[...]() returned {type(topo).__name__}, not a mininet.topo.Topo")
    return topo


def _parse(spec: str) -> _Spec:
    place, *words = spec.split(",")
    parameters: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise TopologyError(f"topology {spec}: {word!r} is no parameter; write name=value, such as spines=2")
        parameters[key] = _number(value)
    path, _, name = place.partition(":")
    if path.endswith(".py") or "/" in path:
        if not Path(path).is_file():
            raise TopologyError(f"{path}: no such file")
        return _Spec(Path(path), path, name, parameters)
    known = built_in()
    if path not in known:
        names = ", ".join(sorted(known))
        raise TopologyError(f"there is no topology {path!r}: choose {names}, or give a file: ./{path}.py")
    return _Spec(known[path], f"{path}.py", name, parameters)


def _number(text: str) -> object:
    """As Mininet reads the values of ``--topo``: an int, a float, else text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _execute(wanted: _Spec) -> dict[str, Any]:
    """Run the file and return what it defines; nothing is written beside it (no ``__pycache__``)."""
    namespace: dict[str, Any] = {"__name__": wanted.file.stem, "__file__": str(wanted.file)}
    exec(compile(wanted.file.read_bytes(), wanted.shown, "exec"), namespace)
    return namespace


def _choose(wanted: _Spec, namespace: dict[str, Any]) -> Callable[..., Any]:
    topos = namespace.get("topos")
    if not isinstance(topos, dict) or not topos:
        raise TopologyError(f"{wanted.shown}: defines no topology; end it with topos = {{'name': YourTopo}}")
    name = wanted.name or (wanted.file.stem if wanted.file.stem in topos else "")
    if not name and len(topos) > 1:
        names = ", ".join(map(str, topos))
        raise TopologyError(f"{wanted.shown}: defines {names}; choose one: {wanted.shown}:{next(iter(topos))}")
    if name and name not in topos:
        raise TopologyError(f"{wanted.shown}: defines {', '.join(map(str, topos))}, but no {name}")
    chosen = topos[name] if name else next(iter(topos.values()))
    if not callable(chosen):
        raise TopologyError(f"{wanted.shown}: topos[{name!r}] is {chosen!r}, which cannot be called to make a Topo")
    return chosen  # type: ignore[no-any-return]


def _check_parameters(wanted: _Spec, factory: Callable[..., Any], parameters: dict[str, object]) -> None:
    """Mininet hands every parameter on to build(); say early, and by name, which ones that does not take."""
    is_topo = isinstance(factory, type) and issubclass(factory, Topo)
    plain = is_topo and getattr(factory, "__init__", None) is Topo.__init__
    signature = inspect.signature(getattr(factory, "build") if plain else factory)  # noqa: B009
    if any(known.kind is known.VAR_KEYWORD for known in signature.parameters.values()):
        return
    known_names = [name for name in signature.parameters if name != "self"]
    for name in parameters:
        if name not in known_names:
            takes = f"takes {', '.join(known_names)}" if known_names else "takes no parameters"
            raise TopologyError(f"{wanted.shown}: this topology has no parameter {name}; it {takes}")


@contextmanager
def _mistakes_of(file: str) -> Iterator[None]:
    """Whatever the code of ``file`` raises, as a `TopologyError` of one line."""
    try:
        yield
    except TopologyError:
        raise
    except SyntaxError as error:
        raise TopologyError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        where = f"{file}:{lines[-1]}" if lines else file
        detail = " ".join(str(error).split())
        raise TopologyError(f"{where}: {type(error).__name__}{': ' if detail else ''}{detail}") from error


@contextmanager
def _recording(declarations: Declarations) -> Iterator[None]:
    """While this lasts, every ``Topo`` notes where its nodes and links are declared.

    Mininet's own methods are wrapped for that long, because the topology is the user's class, or built by the user's
    function, and derives from nothing of ours.  Nothing else builds topologies meanwhile.
    """
    add_node, add_link = Topo.addNode, Topo.addLink

    def recording_node(self: Any, name: str, **options: object) -> Any:
        where = _caller(declarations.file)
        self.declarations = declarations
        if name in declarations.nodes:
            raise TopologyError(f"{where}: {name} is declared twice, first at {declarations.nodes[name]}")
        declarations.nodes[name] = where
        return add_node(self, name, **options)

    def recording_link(self: Any, node1: str, node2: str, *arguments: Any, **options: Any) -> Any:
        where = _caller(declarations.file)
        for node in (node1, node2):
            if node not in declarations.nodes:
                raise TopologyError(f"{where}: link {node1}–{node2}: there is no {node}; declare it above this line")
        if node1 == node2:
            raise TopologyError(f"{where}: link {node1}–{node2}: a link needs two different ends")
        key = add_link(self, node1, node2, *arguments, **options)
        declarations.links[node1, node2, key] = where
        return key

    Topo.addNode, Topo.addLink = recording_node, recording_link
    try:
        yield
    finally:
        Topo.addNode, Topo.addLink = add_node, add_link


def _caller(file: str) -> str:
    """``file:line`` of the innermost frame that executes ``file``; ``file`` alone if none does."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return f"{file}:{frame.f_lineno}" if frame is not None else file
