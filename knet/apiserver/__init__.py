"""The API server: Kubernetes' REST API over a store, generic for every resource of the registry.

A request passes `server` (connection, identity, errors) → `routes` (which resource, which operation) → `reads`,
`watching`, `creating`, `updating`, `patching`, `deleting` or a module of `subresources` → the store.  What is
particular about a kind is data: its row in `knet.api.resources`, its schema, and a `Kind` in `kinds` that names its
defaults, its validation and its columns.
"""
