"""The REST routes over a real socket, in front of a gRPC server whose answers are scripted."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc
import httpx2
import pytest
from batchscribe.v1 import batch_pb2
from batchscribe.v1.batch_pb2 import Batch, BatchItem, BatchProgress
from batchscribe.v1.batch_service_pb2 import (
    CreateBatchRequest,
    CreateBatchResponse,
    GetBatchRequest,
    GetBatchResponse,
    ListBatchItemsResponse,
    ListModelsResponse,
    Model,
)
from batchscribe.v1.batch_service_pb2_grpc import add_BatchServiceServicer_to_server
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from gateway.http import create_app, serve_http
from servicekit import status
from tests.scripted_gateway import ScriptedGateway

M = TypeVar("M", bound=Message)
ROUTE = "/api/v1/transcribe/batch"
VIDEO = {"youtube_url": "https://youtube.com/watch?v=abc123", "language": "en", "model": "base"}
BATCH = Batch(
    batch_id="batch_1",
    state=batch_pb2.BATCH_STATE_PENDING,
    progress=BatchProgress(total=1, pending=1),
    items=[BatchItem(url=VIDEO["youtube_url"], state=batch_pb2.ITEM_STATE_PENDING)],
)
BATCH.create_time.FromSeconds(1_761_060_300)
BATCH.update_time.FromSeconds(1_761_060_305)


@pytest.fixture
def gateway() -> ScriptedGateway:
    """A gateway that has one batch."""
    scripted = ScriptedGateway()
    scripted.will_answer("ListModels", ListModelsResponse(models=[Model(name="base")]))
    scripted.will_answer("CreateBatch", CreateBatchResponse(batch=BATCH))
    scripted.will_answer("GetBatch", GetBatchResponse(batch=BATCH))
    return scripted


@pytest.fixture
def health() -> HealthServicer:
    return HealthServicer()


@pytest.fixture
async def http(
    gateway: ScriptedGateway, health: HealthServicer
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the HTTP edge with a key."""
    server = grpc.aio.server()
    add_BatchServiceServicer_to_server(gateway, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        edge = await serve_http(create_app(channel), "127.0.0.1", 0)
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{edge.port}", headers={"Authorization": "Bearer secret"}
        ) as client:
            yield client
        await edge.stop()
    await server.stop(None)


def instead(gateway: ScriptedGateway, method: str, answer: Message) -> None:
    """Let ``method`` give ``answer`` and no other."""
    gateway.answers[method] = deque([answer])


def asked(gateway: ScriptedGateway, kind: type[M]) -> M:
    """Return the one request of this kind that reached the gateway."""
    (found,) = (request for request in gateway.requests if isinstance(request, kind))
    return found


def problem(response: httpx2.Response, code: int, reason: str) -> dict[str, Any]:
    """Return the body of a problem after checking what all problems share."""
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["reason"]) == (code, reason)
    assert body["detail"]
    return body


async def test_a_batch_is_accepted_as_the_plan_says(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """POST answers 202 with the whole document and where to find it."""
    response = await http.post(ROUTE, json={"videos": [VIDEO]})
    assert response.status_code == 202
    assert response.headers["location"] == f"{ROUTE}/batch_1"
    assert response.json() == {
        "batch_id": "batch_1",
        "status": "pending",
        "total_videos": 1,
        "completed": 0,
        "failed": 0,
        "in_progress": 0,
        "progress_percentage": 0,
        "results": [
            {
                "video_index": 0,
                "youtube_url": VIDEO["youtube_url"],
                "status": "pending",
                "transcription_id": None,
                "error": None,
                "processing_time": None,
                "completed_at": None,
            }
        ],
        "estimated_completion": None,
        "created_at": "2025-10-21T15:25:00Z",
        "updated_at": "2025-10-21T15:25:05Z",
        "completed_at": None,
    }


async def test_a_batch_is_found_again(http: httpx2.AsyncClient, gateway: ScriptedGateway) -> None:
    """GET asks for the batch of the path and answers 200."""
    response = await http.get(f"{ROUTE}/batch_1")
    assert (response.status_code, response.json()["batch_id"]) == (200, "batch_1")
    assert asked(gateway, GetBatchRequest).batch_id == "batch_1"


async def test_the_key_travels_on(http: httpx2.AsyncClient, gateway: ScriptedGateway) -> None:
    """The bearer token reaches every gRPC call as it came."""
    await http.post(ROUTE, json={"videos": [VIDEO]})
    assert gateway.metadata["authorization"] == "Bearer secret"


async def test_the_idempotency_key_is_the_request_id(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """An Idempotency-Key header makes the call safe to send again."""
    key = str(uuid.uuid4())
    await http.post(ROUTE, json={"videos": [VIDEO]}, headers={"Idempotency-Key": key})
    assert asked(gateway, CreateBatchRequest).request_id == key


async def test_the_webhook_is_passed_on(http: httpx2.AsyncClient, gateway: ScriptedGateway) -> None:
    """``notify_webhook`` reaches the gateway, whose rules for it are the only ones."""
    body = {"videos": [VIDEO], "options": {"notify_webhook": "https://myapp.com/webhook"}}
    response = await http.post(ROUTE, json=body)
    assert response.status_code == 202
    assert asked(gateway, CreateBatchRequest).options.notify_webhook == "https://myapp.com/webhook"


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        ({}, "videos", "MISSING"),
        ({"videos": [{}]}, "videos[0].youtube_url", "MISSING"),
        ({"videos": [VIDEO, {"youtube_url": 7}]}, "videos[1].youtube_url", "STRING_TYPE"),
        (
            {"videos": [VIDEO], "options": {"max_concurrent": 0}},
            "options.max_concurrent",
            "GREATER_THAN_EQUAL",
        ),
        (
            {"videos": [VIDEO], "options": {"max_concurrent": 2**40}},
            "options.max_concurrent",
            "LESS_THAN_EQUAL",
        ),
        (
            {"videos": [VIDEO], "options": {"notify_webhook": 7}},
            "options.notify_webhook",
            "STRING_TYPE",
        ),
    ],
)
async def test_a_malformed_body_is_refused_by_path(
    http: httpx2.AsyncClient, gateway: ScriptedGateway, body: object, path: str, reason: str
) -> None:
    """A body of the wrong form is 422 with the field's path, and nothing is created."""
    found = problem(await http.post(ROUTE, json=body), 422, "INVALID_REQUEST")
    assert [(one["field"], one["reason"]) for one in found["violations"]] == [(path, reason)]
    assert not any(isinstance(request, CreateBatchRequest) for request in gateway.requests)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"videos": [{"youtube_url": "\\ud800"}]}']
)
async def test_garbage_is_refused(http: httpx2.AsyncClient, content: bytes) -> None:
    """What is no JSON, or no text, is refused in words."""
    response = await http.post(ROUTE, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert problem(response, response.status_code, response.json()["reason"])["detail"]


async def test_violations_have_the_plans_field_names(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """What the gateway refuses comes as 422 with paths into the plan's own body."""
    paths = ["videos[0].url", "options.max_concurrent", "request_id"]
    bad = BadRequest(
        field_violations=[
            BadRequest.FieldViolation(field=path, reason="BAD", description="Not so.")
            for path in paths
        ]
    )
    instead(
        gateway,
        "CreateBatch",
        status.build(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "videos[0].url: No.", details=[bad]
        ),
    )
    found = problem(await http.post(ROUTE, json={"videos": [VIDEO]}), 422, "INVALID_REQUEST")
    assert [one["field"] for one in found["violations"]] == [
        "videos[0].youtube_url",
        "options.max_concurrent",
        "Idempotency-Key",
    ]
    assert found["detail"] == "videos[0].youtube_url: Not so. (and 2 more)"


@pytest.mark.parametrize(
    ("code", "http_status", "header"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, 401, ("www-authenticate", "Bearer")),
        (grpc.StatusCode.PERMISSION_DENIED, 403, None),
        (grpc.StatusCode.NOT_FOUND, 404, None),
        (grpc.StatusCode.ALREADY_EXISTS, 409, None),
        (grpc.StatusCode.FAILED_PRECONDITION, 409, None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, ("retry-after", "3")),
        (grpc.StatusCode.UNAVAILABLE, 503, ("retry-after", "3")),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, None),
        (grpc.StatusCode.INTERNAL, 500, None),
    ],
)
async def test_every_status_has_its_http_status(
    http: httpx2.AsyncClient,
    gateway: ScriptedGateway,
    code: grpc.StatusCode,
    http_status: int,
    header: tuple[str, str] | None,
) -> None:
    """A gRPC error keeps its reason and sentence; its delay becomes Retry-After."""
    instead(
        gateway,
        "GetBatch",
        status.build(code, "SOME_REASON", "In words.", details=[status.retry_info(2.5)]),
    )
    response = await http.get(f"{ROUTE}/batch_1")
    assert problem(response, http_status, "SOME_REASON")["detail"] == "In words."
    assert header is None or response.headers[header[0]] == header[1]


async def test_a_caller_without_key_learns_nothing_of_the_body(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """A refused key is 401 even if the body is bad as well."""
    instead(
        gateway,
        "ListModels",
        status.build(
            grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", "This key is not known here."
        ),
    )
    found = problem(await http.post(ROUTE, json={"videos": [{}]}), 401, "TOKEN_INVALID")
    assert found["detail"] == "This key is not known here."
    assert "violations" not in found


async def test_a_key_that_cannot_be_sent_is_no_key(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """A header that gRPC would refuse reaches it as one that it takes, and that is as wrong."""
    headers = {b"Authorization": "Bearer café".encode("latin-1")}
    assert (await http.get(f"{ROUTE}/batch_1", headers=headers)).status_code == 200
    assert gateway.metadata["authorization"] == "Bearer caf?"


async def test_an_archive_that_may_not_be_had_is_an_error(
    http: httpx2.AsyncClient, gateway: ScriptedGateway
) -> None:
    """A refusal of the first transcript is the answer, not an archive that breaks off."""
    items = [BatchItem(transcription_id="trans_1")]
    gateway.will_answer("ListBatchItems", ListBatchItemsResponse(items=items))
    refusal = status.build(grpc.StatusCode.PERMISSION_DENIED, "READ_ONLY", "Not for admins.")
    gateway.will_answer("ExportTranscript", refusal)
    found = problem(await http.get("/api/v1/batches/batch_1/export"), 403, "READ_ONLY")
    assert found["detail"] == "Not for admins."


async def test_large_bodies_are_refused(http: httpx2.AsyncClient, gateway: ScriptedGateway) -> None:
    """More than 1 MiB is 413, announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * 32 * 1024

    announced = await http.post(ROUTE, content=b" " * (1024 * 1024 + 1))
    streamed = await http.post(ROUTE, content=chunks())
    for response in (announced, streamed):
        problem(response, 413, "REQUEST_ENTITY_TOO_LARGE")
    assert not gateway.requests


async def test_slow_bodies_are_refused(
    http: httpx2.AsyncClient, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not finish a body in time gets 408, and holds nothing up any more."""
    monkeypatch.setattr("gateway.http.body_limit.BODY_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert b" 408 " in answer
    assert b"application/problem+json" in answer
    assert not [one for one in gateway.requests if isinstance(one, CreateBatchRequest)]


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("GET", "/nope", 404, "NOT_FOUND"),
        ("DELETE", f"{ROUTE}/batch_1", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_unknown_routes_are_problems_too(
    http: httpx2.AsyncClient,
    gateway: ScriptedGateway,
    method: str,
    path: str,
    code: int,
    reason: str,
) -> None:
    """A route or a method that is not there is answered in the same form, and asks nothing."""
    problem(await http.request(method, path), code, reason)
    assert not gateway.requests


@pytest.mark.parametrize(
    ("path", "allowed"), [(f"{ROUTE}/batch_1", "GET"), (ROUTE, "POST"), ("/healthz", "GET, HEAD")]
)
async def test_who_uses_a_wrong_method_is_told_the_right_ones(
    http: httpx2.AsyncClient, path: str, allowed: str
) -> None:
    """Allow names all methods of a route, whichever part of the application has it."""
    assert (await http.put(path)).headers["allow"] == allowed


async def test_a_slash_too_many_leads_nowhere(http: httpx2.AsyncClient) -> None:
    """There is no redirect, which behind a proxy would lead from https to http."""
    response = await http.post(f"{ROUTE}/", follow_redirects=False)
    problem(response, 404, "NOT_FOUND")
    assert "location" not in response.headers


async def test_a_form_is_told_how_to_be_json(http: httpx2.AsyncClient) -> None:
    """A body sent as curl does by itself is refused in words that help."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = await http.post(ROUTE, content='{"videos": []}', headers=form)
    assert "Content-Type: application/json" in problem(response, 422, "INVALID_REQUEST")["detail"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/page/app.js"])
async def test_monitors_may_ask_with_head(
    http: httpx2.AsyncClient, health: HealthServicer, path: str
) -> None:
    """What needs no key answers HEAD as it would GET, without the body."""
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    response = await http.head(path)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize(("serving", "code"), [("SERVING", 200), ("NOT_SERVING", 503)])
async def test_health_is_the_gateways(
    http: httpx2.AsyncClient, health: HealthServicer, serving: str, code: int
) -> None:
    """/healthz says what the gateway's own health service says, without a key."""
    state = health_pb2.HealthCheckResponse.ServingStatus.Value(serving)
    await health.set("", state)
    assert (await http.get("/healthz", headers={"Authorization": ""})).status_code == code


async def test_a_gateway_that_is_gone_is_503() -> None:
    """Without a gateway behind it the edge says so and names no address."""
    async with grpc.aio.insecure_channel("unix:/nonexistent/gateway.sock") as channel:
        transport = httpx2.ASGITransport(create_app(channel))
        async with httpx2.AsyncClient(transport=transport, base_url="http://edge") as client:
            response = await client.get(f"{ROUTE}/batch_1")
    found = problem(response, 503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "1"
    assert "nonexistent" not in str(found)


async def test_a_busy_port_is_an_error(http: httpx2.AsyncClient) -> None:
    """A port in use raises OSError instead of ending the process."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(OSError, match="in use"):
            await serve_http(create_app(channel), "127.0.0.1", http.base_url.port or 0)
