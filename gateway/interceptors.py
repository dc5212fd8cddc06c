"""What happens around every RPC: the key is checked, and errors become statuses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog

from gateway.access import Caller, KeyRing, current_caller
from gateway.errors import GatewayError, to_status
from gateway.open_streams import OpenStreams
from servicekit import status

log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Find = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Unary: TypeAlias = Callable[[Any, status.Context], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any, status.Context], AsyncIterator[Any]]


class Authenticate(grpc.aio.ServerInterceptor):
    """Lets a call of ``services`` in only with a good key, and sets ``current_caller``."""

    def __init__(self, keys: KeyRing, streams: OpenStreams, services: frozenset[str]) -> None:
        self._keys = keys
        self._streams = streams
        self._services = services

    async def intercept_service(
        self, continuation: Find, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        if handler_call_details.method.split("/")[1] not in self._services:
            return await continuation(handler_call_details)
        metadata = handler_call_details.invocation_metadata
        headers = [str(value) for name, value in metadata if name == "authorization"]
        try:
            caller = await self._keys.caller_of(headers)
        except GatewayError as error:
            return _refusal(error)
        current_caller.set(caller)
        return self._watched_over(await continuation(handler_call_details), caller)

    def _watched_over(self, handler: Handler, caller: Caller) -> Handler:
        if handler is None or not handler.unary_stream:
            return handler
        behaviour: Stream = handler.unary_stream

        async def call(request: Any, context: status.Context) -> AsyncIterator[Any]:
            self._streams.add(caller.key_id, context)
            async for response in behaviour(request, context):
                yield response

        return _like(handler, call)


class TranslateErrors(grpc.aio.ServerInterceptor):
    """Ends a call that raised a GatewayError with its status, and any other with INTERNAL."""

    async def intercept_service(
        self, continuation: Find, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/batchscribe."):
            return handler
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _guarded(handler.unary_unary, handler_call_details.method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return _like(handler, _guarded_stream(handler.unary_stream, handler_call_details.method))


def _like(handler: Any, behaviour: Stream) -> Handler:
    return grpc.unary_stream_rpc_method_handler(
        behaviour, handler.request_deserializer, handler.response_serializer
    )


def _refusal(error: GatewayError) -> Handler:
    async def refuse(request: object, context: status.Context) -> None:
        await status.abort(context, to_status(error))

    return grpc.unary_unary_rpc_method_handler(refuse)


def _guarded(behaviour: Unary, method: str) -> Unary:
    async def call(request: Any, context: status.Context) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guarded_stream(behaviour: Stream, method: str) -> Stream:
    async def call(request: Any, context: status.Context) -> AsyncIterator[Any]:
        try:
            async for response in behaviour(request, context):
                yield response
        except Exception as error:
            await _abort(context, error, method)

    return call


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
