"""The contract's unary calls as REST: one table says which route is which call.

A request is made of the path, and of the query or the body; fields have the proto's names.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import grpc
from batchscribe.v1 import batch_service_pb2, webhook_service_pb2
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.http.calls import CALL_TIMEOUT_SECONDS, ROOT, Caller, Channel
from gateway.http.comments import comment_of
from gateway.http.openapi import json_content, parameter
from gateway.http.schemas import Schema, of_field, of_object, of_parameter, reference
from gateway.http.transcoding import RequestForm, of_body, of_query, written

_BATCHES = batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"].methods_by_name
_WEBHOOKS = webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"].methods_by_name


@dataclass(frozen=True)
class Resource:
    """A route, and the call that answers it."""

    http_method: str
    path: str
    call: MethodDescriptor
    status: HTTPStatus = HTTPStatus.OK

    @property
    def asked(self) -> list[FieldDescriptor]:
        """Return the fields of the request that the path does not hold."""
        return [
            field for field in self.call.input_type.fields if f"{{{field.name}}}" not in self.path
        ]

    @property
    def has_body(self) -> bool:
        return self.http_method == "POST" and bool(self.asked)

    @property
    def properties(self) -> dict[str, Schema]:
        """Return the schemas of what the query or the body may hold."""
        described = of_field if self.has_body else of_parameter
        return {field.name: described(field) for field in self.asked}


RESOURCES = (
    Resource("POST", "/batches", _BATCHES["CreateBatch"], HTTPStatus.CREATED),
    Resource("GET", "/batches", _BATCHES["ListBatches"]),
    Resource("GET", "/batches/{batch_id}", _BATCHES["GetBatch"]),
    Resource("DELETE", "/batches/{batch_id}", _BATCHES["DeleteBatch"], HTTPStatus.NO_CONTENT),
    Resource("GET", "/batches/{batch_id}/items", _BATCHES["ListBatchItems"]),
    Resource("POST", "/batches/{batch_id}/cancel", _BATCHES["CancelBatch"]),
    Resource("POST", "/batches/{batch_id}/retry", _BATCHES["RetryBatch"]),
    Resource("GET", "/batches/{batch_id}/deliveries", _WEBHOOKS["ListDeliveries"]),
    Resource("POST", "/deliveries/{webhook_id}/redeliver", _WEBHOOKS["RedeliverWebhook"]),
    Resource("POST", "/webhook-secret/rotate", _WEBHOOKS["RotateSecret"]),
    Resource("GET", "/transcripts/{transcription_id}", _BATCHES["GetTranscript"]),
    Resource("GET", "/quota", _BATCHES["GetQuota"]),
    Resource("GET", "/models", _BATCHES["ListModels"]),
)


def router() -> APIRouter:
    """Return the routes of the table."""
    routes = APIRouter(prefix=ROOT)
    for resource in RESOURCES:
        routes.add_api_route(
            resource.path,
            _endpoint(resource),
            methods=[resource.http_method],
            status_code=resource.status,
            response_class=Response,
            description=comment_of(resource.call.full_name),
            operation_id=resource.call.name,
            tags=[resource.call.containing_service.name],
            openapi_extra=_described(resource),
        )
    return routes


def messages() -> list[Descriptor]:
    """Return the messages that the described routes refer to."""
    replies = [resource.call.output_type for resource in RESOURCES]
    return replies + [resource.call.input_type for resource in RESOURCES if resource.has_body]


def _described(resource: Resource) -> dict[str, object]:
    named = [field for field in resource.call.input_type.fields if field not in resource.asked]
    parameters = [parameter("path", field) for field in named]
    described: dict[str, object] = {"parameters": parameters}
    if resource.has_body:
        described["requestBody"] = json_content(of_object(resource.properties))
    else:
        parameters += [parameter("query", field) for field in resource.asked]
    if resource.status is not HTTPStatus.NO_CONTENT:
        reply = {"description": "Done.", **json_content(reference(resource.call.output_type))}
        described["responses"] = {str(resource.status.value): reply}
    return described


Endpoint = Callable[[Request, Channel, Caller], Awaitable[Response]]


def _endpoint(resource: Resource) -> Endpoint:
    form = RequestForm(resource.call.input_type, resource.properties)

    async def answer(request: Request, channel: Channel, caller: Caller) -> Response:
        asked = form.read(await _values(resource, request), request.path_params)
        call = _callable(channel, resource.call)
        reply = await call(asked, metadata=caller, timeout=CALL_TIMEOUT_SECONDS)
        if resource.status is HTTPStatus.NO_CONTENT:
            return Response(status_code=resource.status)
        return JSONResponse(written(reply), resource.status)

    return answer


async def _values(resource: Resource, request: Request) -> object:
    if resource.has_body:
        return of_body(await request.body())
    return of_query(request.query_params, {field.name: field for field in resource.asked})


def _callable(
    channel: grpc.aio.Channel, call: MethodDescriptor
) -> grpc.aio.UnaryUnaryMultiCallable[Message, Message]:
    return channel.unary_unary(
        f"/{call.containing_service.full_name}/{call.name}",
        request_serializer=GetMessageClass(call.input_type).SerializeToString,
        response_deserializer=GetMessageClass(call.output_type).FromString,
    )
