"""Reflection, asked by our own client in both versions and by the real ``buf``."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from batchscribe.v1.batch_service_pb2 import GetBatchRequest, GetBatchResponse
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2

from servicekit import reflection, status

BATCH_SERVICE = "batchscribe.v1.BatchService"
LISTED = sorted([BATCH_SERVICE, reflection.HEALTH, reflection.V1, reflection.V1ALPHA])

BUF = Path(sys.executable).with_name("buf")
needs_buf = pytest.mark.skipif(not BUF.exists(), reason="needs buf: `pip install buf-bin`")


async def no_batch(request: GetBatchRequest, context: status.Context) -> GetBatchResponse:
    """Answer GetBatch like a gateway that has no such batch."""
    resource = error_details_pb2.ResourceInfo(resource_type="batch", resource_name=request.batch_id)
    await status.abort(
        context,
        status.build(grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND", "No batch.", details=[resource]),
    )


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server()
    get_batch = grpc.unary_unary_rpc_method_handler(
        no_batch, GetBatchRequest.FromString, GetBatchResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(BATCH_SERVICE, {"GetBatch": get_batch}),)
    )
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    reflection.enable(server, [BATCH_SERVICE])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def buf_curl(*arguments: str) -> tuple[int, str]:
    """Run ``buf curl`` over plain gRPC; return its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        BUF,
        *("curl", "--http2-prior-knowledge", "--protocol", "grpc", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def ask(
    address: str, service: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter([request]))
        return await anext(aiter(call))


@pytest.mark.parametrize("version", [reflection.V1, reflection.V1ALPHA])
async def test_services_are_listed(address: str, version: str) -> None:
    """Either version lists the services and reflection itself."""
    request = reflection_pb2.ServerReflectionRequest(list_services="*")
    answer = await ask(address, version, request)
    assert [one.name for one in answer.list_services_response.service] == LISTED


@pytest.mark.parametrize("version", [reflection.V1, reflection.V1ALPHA])
@pytest.mark.parametrize("symbol", [*LISTED, "google.rpc.BadRequest", "google.rpc.ErrorInfo"])
async def test_symbols_are_described(address: str, version: str, symbol: str) -> None:
    """Every service that is listed, and the details of errors, can be described."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    answer = await ask(address, version, request)
    assert answer.WhichOneof("message_response") == "file_descriptor_response"


@needs_buf
async def test_buf_lists_services(address: str) -> None:
    """``buf curl --list-services`` prints every service."""
    code, printed = await buf_curl("--list-services", f"http://{address}")
    assert (code, printed.split()) == (0, LISTED)


@needs_buf
async def test_buf_names_the_details_of_an_error(address: str) -> None:
    """``buf curl`` calls a method by reflection alone and names the details of its error."""
    url = f"http://{address}/{BATCH_SERVICE}/GetBatch"
    code, printed = await buf_curl("-d", '{"batch_id": "batch_1"}', url)
    assert code == grpc.StatusCode.NOT_FOUND.value[0] << 3
    types = [detail["type"] for detail in json.loads(printed)["details"]]
    assert types == ["google.rpc.ErrorInfo", "google.rpc.ResourceInfo"]
