"""Plugins from a user's file: loaded, and looked over before anything starts."""

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from knet.scheduler.plugin import POINTS, Plugin, method


class LoadError(ValueError):
    """A file that cannot be used, with file, place and reason in one line."""


def load(path: str) -> tuple[type[Plugin], ...]:
    """The plugin classes that a file defines, in its order."""
    module = _module(Path(path))
    found = [
        row
        for row in vars(module).values()
        if isinstance(row, type) and issubclass(row, Plugin) and row.__module__ == module.__name__
    ]
    if not found:
        raise LoadError(f"{path}: no class in it is a knet.scheduler.plugin.Plugin")
    names: set[str] = set()
    for cls in found:
        try:
            plugin = cls()
        except Exception as error:
            raise LoadError(f"{path}: {cls.__name__}() fails: {type(error).__name__}: {error}") from error
        if why := _wrong(plugin):
            raise LoadError(f"{path}: {cls.__name__}{why}")
        if cls.name in names:
            raise LoadError(f"{path}: two plugins are named {cls.name}")
        names.add(cls.name)
    return tuple(found)


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    name = f"knet_scheduler_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path}: no Python file (its name should end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise LoadError(f"{error.filename}: line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        lines = [row.lineno for row in traceback.extract_tb(error.__traceback__) if row.filename == str(path)]
        where = f"line {lines[-1]}: " if lines else ""
        raise LoadError(f"{path}: {where}{type(error).__name__}: {error}") from error
    return module


def _wrong(plugin: Plugin) -> str:
    """What is wrong with a plugin's methods; one that is not there, or misspelt, would not be missed otherwise."""
    if not any(method(plugin, point) for point in POINTS):
        return f" has none of the methods of a plugin: {', '.join(POINTS)}"
    for name, point in POINTS.items():
        found = method(plugin, name)
        if found is None:
            continue
        try:
            inspect.signature(found).bind(*point.takes)
        except (TypeError, ValueError):
            return f".{name} should take (self, {', '.join(point.takes)})"
        if inspect.iscoroutinefunction(found) != point.waits:
            return f".{name} should {'' if point.waits else 'not '}be async"
    return ""
