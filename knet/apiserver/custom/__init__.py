"""Custom resources: kinds that come and go while the server runs, each described by a CustomResourceDefinition.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/

- `definition`, `structure`: what a CustomResourceDefinition itself has to look like.
- `kinds`: from a definition to the kinds it serves, one per version; `values`, `formats`, `rules` are what their
  schemas demand of an object, `columns` what ``kubectl get`` prints of it, `documents` its OpenAPI.
- `status`: names and conditions, decided from all definitions; `controller`: the loop that carries that out.
"""
