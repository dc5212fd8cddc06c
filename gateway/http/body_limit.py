"""Bodies of requests: not too large, whether announced or not, and not too slow."""

import asyncio
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http import problems

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0


class BodyLimit:
    """ASGI middleware: who sends too much or takes too long is told so as all else is told."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Request(scope).headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            too_large = _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            answer = await problems.of_http(Request(scope), too_large)
            await answer(scope, receive, send)
            return
        await self._app(scope, _Body(receive).receive, send)


class _Body:
    """What is left of the size and the time that a body may have."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_bytes = MAX_BODY_BYTES
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._has_ended = False

    async def receive(self) -> Message:
        """Return the next message. Raises HTTPException, which the routes let through."""
        if self._has_ended:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise _refused(HTTPStatus.REQUEST_TIMEOUT) from None
        self._has_ended = not message.get("more_body", False)
        self._left_bytes -= len(message.get("body", b""))
        if self._left_bytes < 0:
            raise _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message


def _refused(status: HTTPStatus) -> HTTPException:
    # Nothing else can come on a connection whose body has not ended.
    return HTTPException(status, headers={"Connection": "close"})
