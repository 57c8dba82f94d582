"""ValidatingAdmissionPolicy: rules about requests, written in CEL and evaluated in the server itself.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/

A policy says what is checked, a binding for which requests, with which parameters and what follows from a failure.
`compiled` makes programs of both once per change, `parameters` finds the objects that a policy is parameterised with,
`plugin` decides.  What cannot be evaluated counts as the policy's failurePolicy says.
"""
