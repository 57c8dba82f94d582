"""The log: stands before the server, sees what comes and what goes, and writes one line for each stage."""

import logging
import os
from collections.abc import Awaitable, Callable

import orjson

from knet.apiserver.annotations import kept
from knet.apiserver.audit.policy import Policy
from knet.apiserver.audit.trail import Trail
from knet.apiserver.authentication import Authenticator, impersonation
from knet.apiserver.authorization import Authorizer
from knet.apiserver.authorization.attributes import of_path, of_target
from knet.apiserver.http import Answer, Request, Response
from knet.apiserver.routes import Routes
from knet.apiserver.status import StatusError
from knet.apiserver.user import User
from knet.store import Object

log = logging.getLogger(__name__)

_NOBODY = User("")


class Audit:
    """Answers as ``handle`` does, and tells of it.

    Who asks, and whether he may, is found out here a second time: both are remembered by those who answer it, and a
    server without a log has nothing to do for it.
    """

    def __init__(
        self,
        policy: Policy,
        file: int,
        handle: Callable[[Request], Awaitable[Answer]],
        authenticator: Authenticator,
        authorizer: Authorizer,
        routes: Routes,
    ) -> None:
        """``file``: a descriptor that appends."""
        self._policy = policy
        self._file = file
        self._handle = handle
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._routes = routes

    async def handle(self, request: Request) -> Answer:
        """As the server's own."""
        known = True
        try:
            user = self._authenticator.user_of(request)
        except StatusError:
            user, known = _NOBODY, False
        target = self._routes.find(request.path)
        wanted = of_target(user, request, target) if target is not None else of_path(user, request)
        telling = self._policy.telling(wanted)
        if telling.level == "None":
            return await self._handle(request)
        trail = Trail(request, target, wanted, telling, self._write)
        if not known:
            answer = await self._handle(request)
            assert isinstance(answer, Response)
            trail.refused(answer)
            return answer
        trail.received()
        try:
            if acting := request.headers.prefixed(impersonation.PREFIX):
                user = impersonation.impersonated(user, acting, self._authorizer)
                trail.acts_as(user)
            trail.decided(self._authorizer.decide(wanted._replace(user=user)))
        except StatusError:
            pass  # he may not act as that: which is the answer
        try:
            with kept(trail.annotations):
                answer = await self._handle(request)
        except BaseException:  # the client has gone, or the server goes
            trail.ended()
            raise
        trail.answered(answer)
        return answer

    def _write(self, event: Object) -> None:
        line = orjson.dumps(event) + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            log.error("audit event %s of %s is lost: %s", event["stage"], event["auditID"], error)
