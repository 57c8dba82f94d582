"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: programs outside that have a say in every request.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

`configuration` reads the stored configurations once per change, `review` is the question and what counts as an
answer, `calling` gets the one for the other, `plugin` asks: mutating webhooks one after the other, each seeing what
those before it have made of the object; then, of what would be stored, all validating ones at once.
"""
