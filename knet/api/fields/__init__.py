"""Who owns which field: KEP-555's field sets, and the merging that is decided by them.

A set of fields is kept as what managedFields has on the wire (``fieldsV1``), a trie of path elements::

    {"f:spec": {"f:replicas": {}, "f:template": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}}}}}}

``f:`` is a field or map key, ``k:`` a list element by its keys, ``v:`` an element of a set by its value, ``i:`` one by
its index.  An empty node is a member; a node with children is one if it has ``.``.  So nothing needs encoding, and an
unchanged branch is shared.  Sets are values: no function here changes its arguments.

`sets` has the algebra, `elements` the path elements, `reading` what fields an object has and where two differ,
`merging` how an applied configuration is laid over an object, `managers` the entries of ``metadata.managedFields``.

https://github.com/kubernetes-sigs/structured-merge-diff has the semantics, which are followed to the letter.
"""
