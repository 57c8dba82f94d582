"""Ingress and IngressClass, as far as a controller reads them."""

from knet.api import resources
from knet.api.objects import KubeObject, Part, ServiceStatus


class ServiceBackendPort(Part, frozen=True, kw_only=True):
    name: str = ""
    number: int = 0


class ServiceBackend(Part, frozen=True, kw_only=True):
    name: str = ""
    port: ServiceBackendPort = ServiceBackendPort()


class IngressBackend(Part, frozen=True, kw_only=True):
    """``service`` None: the backend is a resource."""

    service: ServiceBackend | None = None


class HTTPIngressPath(Part, frozen=True, kw_only=True):
    """``pathType``: Exact, Prefix or ImplementationSpecific."""

    path: str = ""
    pathType: str = "ImplementationSpecific"
    backend: IngressBackend = IngressBackend()


class HTTPIngressRuleValue(Part, frozen=True, kw_only=True):
    paths: tuple[HTTPIngressPath, ...] = ()


class IngressRule(Part, frozen=True, kw_only=True):
    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressTLS(Part, frozen=True, kw_only=True):
    hosts: tuple[str, ...] = ()
    secretName: str = ""


class IngressSpec(Part, frozen=True, kw_only=True):
    ingressClassName: str | None = None
    defaultBackend: IngressBackend | None = None
    tls: tuple[IngressTLS, ...] = ()
    rules: tuple[IngressRule, ...] = ()


class Ingress(KubeObject, frozen=True, kw_only=True):
    """Its status is as wide as a Service's, for us."""

    resource = resources.INGRESSES
    spec: IngressSpec = IngressSpec()
    status: ServiceStatus = ServiceStatus()


class IngressClassSpec(Part, frozen=True, kw_only=True):
    controller: str = ""


class IngressClass(KubeObject, frozen=True, kw_only=True):
    resource = resources.INGRESSCLASSES
    spec: IngressClassSpec = IngressClassSpec()
