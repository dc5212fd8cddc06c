"""Errors as ``application/problem+json`` (RFC 9457), over one table of statuses.

Whatever goes wrong, the body is a sentence, a reason for programs and, where fields are at fault,
their paths in the request. Nothing else of an error leaves the process.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import grpc
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gateway.errors import Violation
from gateway.http.plan import BATCHES, plan_name
from gateway.http.transcoding import UnreadableRequest
from servicekit import status

HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.UNPROCESSABLE_ENTITY,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}

_METHODS = ("DELETE", "GET", "HEAD", "POST")
_NO_OBJECT = "This has to be a JSON object, sent with the header Content-Type: application/json."
_RETRY_AFTER_SECONDS = 1
_MAX_VIOLATIONS = 100


def problem(
    code: HTTPStatus,
    reason: str,
    sentence: str,
    violations: Sequence[Violation] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response that tells of a problem; ``reason`` is for programs."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": code.phrase,
        "status": code.value,
        "detail": sentence,
        "reason": reason,
    }
    if violations:
        body["violations"] = [asdict(violation) for violation in violations]
    return JSONResponse(body, code, headers, media_type="application/problem+json")


async def of_rpc(request: Request, error: Exception) -> JSONResponse:
    """Answer for a gRPC call that ended with an error, in the names of the route's fields."""
    assert isinstance(error, grpc.aio.AioRpcError)
    return of_call(error, plan_name if request.url.path.startswith(BATCHES) else str)


def of_call(error: grpc.aio.AioRpcError, name: Callable[[str], str] = str) -> JSONResponse:
    """Return the problem that a gRPC call ended with; ``name`` gives fields their names."""
    code = HTTP_STATUS.get(error.code(), HTTPStatus.INTERNAL_SERVER_ERROR)
    sent = status.from_error(error)
    if sent is None:  # Not ours: its text may tell of addresses and sockets.
        sentence = "The service cannot answer at the moment; try again shortly."
        return problem(code, error.code().name, sentence, headers=_headers(code, None))
    if violations := list(_violations(sent, name)):
        return _refusal(violations)
    return problem(code, status.reason_of(error), sent.message, headers=_headers(code, sent))


async def of_request(_: Request, error: Exception) -> JSONResponse:
    """Answer for a request that has not the form of its resource."""
    assert isinstance(error, UnreadableRequest)
    return _refusal(error.violations)


async def of_body(_: Request, error: Exception) -> JSONResponse:
    """Answer for a request that has not the plan's form."""
    assert isinstance(error, RequestValidationError)
    return _refusal([_violation(found) for found in error.errors()[:_MAX_VIOLATIONS]])


async def of_http(request: Request, error: Exception) -> JSONResponse:
    """Answer for what the web framework refuses by itself: routes, methods, sizes."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code)
    headers = error.headers
    if code is HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods(request))}
    return problem(code, code.name, f"{code.description or code.phrase}.", headers=headers)


async def of_bug(_: Request, __: Exception) -> JSONResponse:
    """Answer for an error nobody thought of; the server logs it."""
    sentence = "Something went wrong here; it has been logged."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", sentence)


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes at this path; the framework tells those of the first."""
    scopes = ({**request.scope, "method": method} for method in _METHODS)
    return [
        scope["method"]
        for scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


def _refusal(violations: Sequence[Violation]) -> JSONResponse:
    first, more = violations[0], len(violations) - 1
    sentence = f"{first.field}: {first.description}" if first.field else first.description
    sentence += f" (and {more} more)" if more else ""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_REQUEST", sentence, violations)


def _headers(code: HTTPStatus, sent: status_pb2.Status | None) -> dict[str, str]:
    if code is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return {"Retry-After": str(_retry_after_seconds(sent))}
    return {}


def _retry_after_seconds(sent: status_pb2.Status | None) -> int:
    info = error_details_pb2.RetryInfo()
    if sent is None or not _unpack(sent, info):
        return _RETRY_AFTER_SECONDS
    asked: float = info.retry_delay.ToTimedelta().total_seconds()
    return max(_RETRY_AFTER_SECONDS, math.ceil(asked))


def _violations(sent: status_pb2.Status, name: Callable[[str], str]) -> Iterator[Violation]:
    bad = error_details_pb2.BadRequest()
    _unpack(sent, bad)
    for found in bad.field_violations:
        yield Violation(name(found.field), found.reason, found.description)


def _unpack(sent: status_pb2.Status, into: Message) -> bool:
    return any(detail.Unpack(into) for detail in sent.details)


def _violation(found: Mapping[str, Any]) -> Violation:
    said = _NO_OBJECT if found["type"] == "model_attributes_type" else str(found["msg"])
    return Violation(_path(found), str(found["type"]).upper(), said)


def _path(found: Mapping[str, Any]) -> str:
    """Return the place in the body as a path such as ``videos[3].youtube_url``."""
    if found["type"] == "json_invalid":
        return ""  # Its place is an offset into the text.
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in found["loc"][1:])
    return "".join(parts).removeprefix(".")
