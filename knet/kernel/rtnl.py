"""pyroute2's messages without the rest of pyroute2; nothing else in knet imports it.

Its ``__init__`` imports every protocol that it knows, and asyncio, sqlite3, unittest and psutil with them.  Measured
with 0.9.7 on Python 3.11 in a process without asyncio (with it): 290 ms and 20 MB (170 ms and 13.5 MB), where the five
modules below take 45 ms and 3.2 MB (35 ms and 2.7 MB).  Each machine runs several components, hence `_Package`: the
package's ``__init__`` is put off until somebody asks for what only it defines.  ``import pyroute2; pyroute2.IPRoute()``
works as ever, before and after, and there is one copy of every module.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that has a path, hence submodules, and runs its ``__init__`` when another attribute is wanted."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(name)  # what inspect and warnings look for in every module
        if importlib.util.find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # nothing is put off twice
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _put_off(package: str) -> None:
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Package
    sys.modules[package] = module


if "pyroute2" not in sys.modules:
    _put_off("pyroute2")

from pyroute2 import netlink  # noqa: E402
from pyroute2.netlink import nla, rtnl  # noqa: E402
from pyroute2.netlink.rtnl import ifinfmsg, ndmsg, rtmsg, tcmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.tcmsg import sched_netem, sched_tbf  # noqa: E402
from pyroute2.netlink.rtnl.tcmsg.common import LINKLAYER_ETHERNET  # noqa: E402

__all__ = ["LINKLAYER_ETHERNET", "ifaddrmsg", "ifinfmsg", "ndmsg", "netlink", "nla"]
__all__ += ["rtmsg", "rtnl", "sched_netem", "sched_tbf", "tcmsg"]
