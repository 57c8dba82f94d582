"""Authorization: may this user do that?

`attributes` is the question, the answer and how a refusal reads; `rules` is what a policy rule allows; `rbac` decides
by the stored roles and bindings, `node` for kubelets; `authorizer` puts them together and keeps both true to the store.
`policy` and `controller_policy` are the tables of what every cluster starts with, which `reconcile` writes.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from knet.apiserver.authorization.attributes import Attributes, Decision
from knet.apiserver.authorization.authorizer import Authorizer

__all__ = ["Attributes", "Authorizer", "Decision"]
