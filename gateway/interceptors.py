"""What happens around every RPC: errors become statuses, and the key is checked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from gateway.access import Caller, KeyRing, current_caller
from gateway.errors import GatewayError, Malformed, to_status
from gateway.open_streams import OpenStreams
from gateway.oversight import ON_BEHALF_OF, Oversight
from servicekit import status

log = structlog.get_logger()

Details: TypeAlias = grpc.HandlerCallDetails
# grpc.RpcMethodHandler, whose stubs know synchronous behaviours only; None if there is no such RPC.
Handler: TypeAlias = Any
Find: TypeAlias = Callable[[Details], Awaitable[Handler]]
Unary: TypeAlias = Callable[[Any, status.Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, status.Context], AsyncIterator[Any]]
Before: TypeAlias = Callable[[Any, status.Context], Awaitable[None]]

# Stands for a request that could not be read: gRPC would tell the caller of a Python exception.
_MALFORMED = object()


class TranslateErrors(grpc.aio.ServerInterceptor):
    """Ends a call that raised a GatewayError with its status, and any other with INTERNAL."""

    async def intercept_service(self, continuation: Find, handler_call_details: Details) -> Handler:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/batchscribe."):
            return handler
        read = _reading(handler.request_deserializer)
        if handler.response_streaming:
            return _like(handler, _guarded_stream(handler.unary_stream, method), read)
        return _like(handler, _guarded(handler.unary_unary, method), read)


class Authenticate(grpc.aio.ServerInterceptor):
    """Lets a call of ``services`` in only with a good key, and sets ``current_caller``."""

    def __init__(
        self, keys: KeyRing, streams: OpenStreams, oversight: Oversight, services: frozenset[str]
    ) -> None:
        self._keys = keys
        self._streams = streams
        self._oversight = oversight
        self._services = services

    async def intercept_service(self, continuation: Find, handler_call_details: Details) -> Handler:
        method = handler_call_details.method
        if method.split("/")[1] not in self._services:
            return await continuation(handler_call_details)
        try:
            holder = await self._keys.caller_of(_values(handler_call_details, "authorization"))
            users = _values(handler_call_details, ON_BEHALF_OF)
            caller = self._oversight.stand_in(holder, users, method) if users else holder
        except GatewayError as error:
            return _refusal(error)
        current_caller.set(caller)
        handler = await continuation(handler_call_details)
        return handler and self._watched_over(handler, holder, caller, method)

    def _watched_over(
        self, handler: Handler, holder: Caller, caller: Caller, method: str
    ) -> Handler:
        async def before(request: Any, context: status.Context) -> None:
            if caller is not holder:
                await self._oversight.record(holder.user, caller.user, method, request)
            if handler.response_streaming:
                self._streams.add(holder.key_id, context)

        if handler.response_streaming:
            return _like(handler, _stream_after(before, handler.unary_stream))
        if caller is not holder:
            return _like(handler, _after(before, handler.unary_unary))
        return handler


def _values(details: Details, name: str) -> list[str]:
    return [str(value) for key, value in details.invocation_metadata if key == name]


def _like(
    handler: Handler, behaviour: Unary | Stream, read: Callable[[bytes], Any] | None = None
) -> Handler:
    make = (
        grpc.unary_stream_rpc_method_handler
        if handler.response_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(behaviour, read or handler.request_deserializer, handler.response_serializer)


def _reading(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return parse(data) if parse else data
        except DecodeError:
            return _MALFORMED

    return read


def _refusal(error: GatewayError) -> Handler:
    async def refuse(request: object, context: status.Context) -> None:
        raise error

    return grpc.unary_unary_rpc_method_handler(refuse)


def _after(before: Before, behaviour: Unary) -> Unary:
    async def call(request: Any, context: status.Context) -> Any:
        await before(request, context)
        return await behaviour(request, context)

    return call


def _stream_after(before: Before, behaviour: Stream) -> Stream:
    async def call(request: Any, context: status.Context) -> AsyncIterator[Any]:
        await before(request, context)
        async for response in behaviour(request, context):
            yield response

    return call


def _guarded(behaviour: Unary, method: str) -> Unary:
    async def call(request: Any, context: status.Context) -> Any:
        try:
            _check_form(request)
            return await behaviour(request, context)
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guarded_stream(behaviour: Stream, method: str) -> Stream:
    async def call(request: Any, context: status.Context) -> AsyncIterator[Any]:
        try:
            _check_form(request)
            async for response in behaviour(request, context):
                yield response
        except Exception as error:
            await _abort(context, error, method)

    return call


def _check_form(request: Any) -> None:
    if request is _MALFORMED:
        raise Malformed


async def _abort(context: status.Context, error: Exception, method: str) -> None:
    if isinstance(error, GatewayError):
        await status.abort(context, to_status(error))
    if isinstance(error, grpc.aio.AbortError):
        raise error
    log.error("a bug in an RPC", method=method, exc_info=error)
    bug = status.build(
        grpc.StatusCode.INTERNAL, "INTERNAL", "Something went wrong here; it has been logged."
    )
    await status.abort(context, bug)
