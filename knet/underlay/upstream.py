"""Mininet's classes, imported without what they would drag in.

Mininet 2.3.0.dev6 imports ``distutils.version`` for a comparison of Open vSwitch versions.  Python 3.12 dropped
distutils; where setuptools offers a replacement, that costs a quarter of a second, five times all the rest of Mininet.
So its place is taken by an empty class while Mininet is imported, and given back afterwards.
"""

import sys
from types import ModuleType


class _StrictVersion:
    """Stands where Mininet expects ``distutils.version.StrictVersion``; only its Open vSwitch code would use it."""


_borrowed = {name: ModuleType(name) for name in ("distutils", "distutils.version") if name not in sys.modules}
if "distutils.version" in _borrowed:
    _borrowed["distutils.version"].StrictVersion = _StrictVersion  # type: ignore[attr-defined]
sys.modules.update(_borrowed)
try:
    from mininet.link import Intf, Link
    from mininet.net import Mininet
    from mininet.node import Host, Node, Switch
    from mininet.topo import Topo
finally:
    for _name in _borrowed:
        del sys.modules[_name]

__all__ = ["Host", "Intf", "Link", "Mininet", "Node", "Switch", "Topo"]
