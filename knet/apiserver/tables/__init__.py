"""What ``kubectl get`` prints: Tables, made by the server, with upstream's columns (pkg/printers/internalversion).

`table` puts them together, `column` has the cells that many kinds share; every other module is a family of kinds with
a table of its columns.
"""

from knet.apiserver.tables.table import table

__all__ = ["table"]
