"""An Ingress controller in a pod: it keeps the configuration of a real nginx, in the ways of ingress-nginx.

``model``       Ingresses, Services and endpoints → who serves which host and path: pure
``nginx``       that → nginx.conf, as text: pure
``controller``  watches, writes the files, tells nginx to go over to them, tells Ingresses their address

https://kubernetes.io/docs/concepts/services-networking/ingress/ · https://kubernetes.github.io/ingress-nginx/
"""
