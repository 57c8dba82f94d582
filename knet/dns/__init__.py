"""The cluster's DNS server: Service names to addresses, by the Kubernetes DNS specification.

``python -m knet.dns`` runs in pods of kube-system behind the Service kube-dns, as CoreDNS does, by a Corefile
(`settings`, `routes`).  `directory` keeps what the watches bring (`feed`), `zone` says what records follow from it,
`responder` turns a query's bytes into an answer's, `server` holds the sockets.  About names that are not ours `forward`
asks elsewhere; `foreign` is what others have said, `resolve` what a client is told of it.

It starts as a fresh interpreter, with every pod anew, and the cluster is not up before it answers.  Therefore nothing
in here imports aiohttp or uvloop (0.3 s and 15 MB); see `connection`.

https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""
