"""What ``kubectl get`` prints: Tables, made by the server, with upstream's columns (pkg/printers/internalversion).

`columns` is the table of kinds, `pod`, `workloads` and `core` say how cells are computed, `times` how ages are told.
"""

from knet.apiserver.tables.columns import table

__all__ = ["table"]
