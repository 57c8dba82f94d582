"""What the Kubernetes API is made of, as values: kinds, objects, selectors, quantities, patches, schemas.

No I/O anywhere in here.  The API server works on plain JSON dicts, because patches and schemas do; every other
component reads the narrow frozen structs of `knet.api.objects` and writes dicts, so that nothing a component
does not know about is ever lost on the way through it.
"""
