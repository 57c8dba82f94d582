"""One request's way through its stages, each of which is told at its time unless the policy omits it."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from knet.apiserver.annotations import Annotations
from knet.apiserver.audit import event
from knet.apiserver.audit.policy import Stage, Telling
from knet.apiserver.authorization import Attributes, Decision
from knet.apiserver.http import Answer, Request, Response, Streamed
from knet.apiserver.http.response import Pipe
from knet.apiserver.routes import Target
from knet.apiserver.user import User
from knet.store import Object

Carry = Callable[[Pipe], Awaitable[None]]
#: answers that last: they are told when they begin, and again when they end
_LASTING_VERBS = ("watch", "proxy")
_LASTING = ("attach", "exec", "log", "portforward", "proxy")
#: what upstream tells where nothing was answered because nobody was there any more
_CLOSED = {"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}


class Trail:
    """Tells of one request."""

    def __init__(
        self,
        request: Request,
        target: Target | None,
        wanted: Attributes,
        telling: Telling,
        tell: Callable[[Object], None],
    ) -> None:
        self._request = request
        self._target = target
        self._telling = telling
        self._tell = tell
        self._verb = wanted.verb
        self._lasting = wanted.verb in _LASTING_VERBS or wanted.subresource in _LASTING
        self._received = time.time()
        self._event = event.beginning(request, wanted, telling, self._received)
        self._ended = False
        self.annotations = Annotations(telling.bodies[0])

    # ---- what becomes known ----------------------------------------------------------------------------------

    def acts_as(self, user: User) -> None:
        """Somebody acts as somebody else."""
        self._event["impersonatedUser"] = user.info()

    def decided(self, decision: Decision) -> None:
        """It was allowed, or not."""
        self.annotations.found["authorization.k8s.io/decision"] = "allow" if decision.allowed else "forbid"
        self.annotations.found["authorization.k8s.io/reason"] = decision.reason
        self._event["annotations"] = self.annotations.found

    # ---- stages ----------------------------------------------------------------------------------------------

    def received(self) -> None:
        """It has come."""
        self._stage("RequestReceived", self._received)

    def answered(self, answer: Answer) -> None:
        """This is what it gets; an answer that lasts tells of its end itself."""
        self._look_at_request()
        code = 101
        if isinstance(answer, Response):
            self._look_at_response(answer)
        else:
            code = answer.status if isinstance(answer, Streamed) else code
            self._event["responseStatus"] = event.status(code)
        if self._lasting:
            self._stage("ResponseStarted", time.time())
        if isinstance(answer, Response):
            self.ended()
        elif isinstance(answer, Streamed):
            answer.source = _Followed(answer.source, self.ended)
        else:
            answer.carry = self._followed(answer.carry)

    def refused(self, answer: Response) -> None:
        """It has no known user: that it was answered is all there is to tell."""
        self._look_at_response(answer)
        self._stage("ResponseStarted", time.time())

    def ended(self) -> None:
        """The answer is complete, or nobody waits for it any more."""
        if self._ended:
            return
        self._ended = True
        if "responseStatus" not in self._event:
            self._event["responseStatus"] = _CLOSED
            if self._lasting:
                self._stage("ResponseStarted", time.time())
        self._stage("ResponseComplete", time.time())

    def _stage(self, stage: Stage, at: float) -> None:
        if stage not in self._telling.omitted:
            self._tell(self._event | {"stage": stage, "stageTimestamp": event.micro_time(at)})

    # ---- bodies ----------------------------------------------------------------------------------------------

    def _look_at_request(self) -> None:
        wanted = self._telling.bodies[0]
        if self._target is None or not (wanted or self._verb in ("create", "update")):
            return
        value = event.sent(self._request, self._target, self._verb)
        if value is None:
            return
        if self._verb in ("create", "update") and isinstance(value, dict):
            event.named(self._event["objectRef"], value)
        if wanted:
            self._event["requestObject"] = self._bare(value)

    def _look_at_response(self, response: Response) -> None:
        wanted = self._telling.bodies[1] and not self._lasting
        value = None
        if self._target is not None and (wanted or event.may_be_status(response)):
            value = event.answered(response, self._target)
            if wanted and value is not None:
                self._event["responseObject"] = self._bare(value)
        self._event["responseStatus"] = event.status(response.status, value)

    def _bare(self, value: Object) -> Object:
        return event.without_managed_fields(value) if self._telling.without_managed_fields else value

    def _followed(self, carry: Carry) -> Carry:
        async def followed(pipe: Pipe) -> None:
            try:
                await carry(pipe)
            finally:
                self.ended()

        return followed


class _Followed(AsyncGenerator[bytes, None]):
    """A stream that says when it has ended, even if it never began."""

    def __init__(self, source: AsyncGenerator[bytes, None], ended: Callable[[], None]) -> None:
        self._source = source
        self._ended = ended

    async def asend(self, value: None) -> bytes:
        return await self._source.asend(value)

    async def athrow(self, *error: Any) -> bytes:
        return await self._source.athrow(*error)

    async def aclose(self) -> None:
        try:
            await self._source.aclose()
        finally:
            self._ended()
