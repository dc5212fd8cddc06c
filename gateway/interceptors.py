"""What happens around every RPC: the key is checked, and errors become statuses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import structlog

from gateway.access import StaticKey, current_caller
from gateway.errors import GatewayError, to_status
from servicekit import status

log = structlog.get_logger()

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Find = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class Authenticate(grpc.aio.ServerInterceptor):
    """Lets a call of ``services`` in only with a known key, and sets ``current_caller``."""

    def __init__(self, keys: StaticKey, services: frozenset[str]) -> None:
        self._keys = keys
        self._services = services

    async def intercept_service(
        self, continuation: Find, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        service = handler_call_details.method.split("/")[1]
        if service in self._services:
            metadata = dict(handler_call_details.invocation_metadata)
            header = metadata.get("authorization")
            try:
                current_caller.set(self._keys.caller_of(str(header) if header else None))
            except GatewayError as error:
                return _refusal(error)
        return await continuation(handler_call_details)


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
        return grpc.unary_stream_rpc_method_handler(
            _guarded_stream(handler.unary_stream, handler_call_details.method),
            handler.request_deserializer,
            handler.response_serializer,
        )


def _refusal(error: GatewayError) -> Handler:
    async def refuse(request: object, context: status.Context) -> None:
        await status.abort(context, to_status(error))

    return grpc.unary_unary_rpc_method_handler(refuse)


def _guarded(behaviour: Any, method: str) -> Callable[[Any, status.Context], Awaitable[Any]]:
    async def call(request: Any, context: status.Context) -> Any:
        try:
            return await behaviour(request, context)
        except Exception as error:
            await _abort(context, error, method)

    return call


def _guarded_stream(
    behaviour: Any, method: str
) -> Callable[[Any, status.Context], AsyncIterator[Any]]:
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
