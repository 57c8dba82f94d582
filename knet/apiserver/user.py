"""Who asks, and under which name what they write is remembered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated identity."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """As the API tells it: authentication.k8s.io/v1 UserInfo."""
        info: dict[str, Any] = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra.items()}
        return info


@dataclass(frozen=True, slots=True)
class Writer:
    """The user behind a write, and the field manager that owns what it sets (metadata.managedFields)."""

    user: User
    manager: str


#: key of a user's extra that tells which certificate or token was shown (KEP-4193)
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
#: who shows nothing that says who it is
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
#: the API server's own writes
SERVER = Writer(User("system:apiserver", ("system:masters", "system:authenticated")), "kube-apiserver")


def manager_of(field_manager: str, user_agent: str) -> str:
    """The name a request's writes go under: what it says, else its program (``kubectl/v1.32.0 …`` → ``kubectl``)."""
    return field_manager or user_agent.partition("/")[0][:128] or "unknown"
