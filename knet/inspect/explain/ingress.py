"""The Ingress controller's configuration, and the certificates that Secrets give it.  Pure.

A certificate is told by what anybody who connects is shown of it; its key by nothing.
"""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from knet.api.ingress import IngressClass, IngressClassSpec
from knet.api.objects import Meta
from knet.ingress import nginx
from knet.ingress.model import Certificate, Model, build, is_ours
from knet.inspect.explain.picture import Picture, Section
from knet.inspect.world import World

NGINX = Section("nginx", "nginx.conf")
#: as the controller's own flags have it
_CLASS = IngressClass(metadata=Meta(name="nginx"), spec=IngressClassSpec(controller="k8s.io/ingress-nginx"))


def served(world: World) -> Model:
    """What all Ingresses amount to."""

    def make() -> Model:
        ours = [row for row in world.ingresses.values() if is_ours(row, [_CLASS], "k8s.io/ingress-nginx", "nginx")]
        return build(ours, dict(world.services.items()), world.slices.values(), dict(world.secrets.items()))

    return world.once("ingresses", make)


def drawn(world: World) -> Picture:
    """Its configuration file, and a section for each certificate."""
    found = {NGINX: tuple(nginx.render(served(world), nginx.Settings()).splitlines())}
    for server in served(world).servers:
        if server.certificate:
            found[Section("certificate", server.certificate.name)] = tuple(_shown(server.certificate))
    return found


def _shown(certificate: Certificate) -> Iterator[str]:
    try:
        chain = x509.load_pem_x509_certificates(certificate.pem)
    except ValueError:
        yield "no certificate: nginx does not take it"
        return
    for place, row in enumerate(chain):
        yield f"{'subject' if not place else 'issued by'} {row.subject.rfc4514_string()}"
    first = chain[0]
    for names in (row.value for row in first.extensions if isinstance(row.value, x509.SubjectAlternativeName)):
        yield from (f"for {name.value}" for name in names)
    yield f"until {first.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
    yield f"sha256 {first.fingerprint(SHA256()).hex(':').upper()}"
