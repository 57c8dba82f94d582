"""Requests for certificates as their readers in knet need them: see `knet.api.objects`."""

from knet.api import resources
from knet.api.objects import Condition, KubeObject, Part

#: signers that the cluster itself has
CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"


class RequestSpec(Part, frozen=True, kw_only=True):
    #: PEM
    request: bytes = b""
    signerName: str = ""
    usages: tuple[str, ...] = ()
    #: seconds
    expirationSeconds: int | None = None


class RequestStatus(Part, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    #: PEM
    certificate: bytes = b""


class CertificateSigningRequest(KubeObject, frozen=True, kw_only=True):
    resource = resources.CERTIFICATESIGNINGREQUESTS
    spec: RequestSpec = RequestSpec()
    status: RequestStatus = RequestStatus()

    def condition(self, *types: str) -> Condition | None:
        """The first condition of these types that holds."""
        holding = (row for row in self.status.conditions if row.type in types and row.status in ("True", ""))
        return next(holding, None)
