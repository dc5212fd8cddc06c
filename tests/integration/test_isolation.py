"""What is another user's does not exist, byte for byte, whatever is asked about it and how.

A stranger asks everything about a user's things; then the same again where those never were.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import httpx2
import pytest
import redis.asyncio
from batchscribe.v1 import batch_service_pb2, webhook_service_pb2
from batchscribe.v1.batch_pb2 import BatchOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest, GetBatchRequest, WatchBatchRequest
from batchscribe.v1.webhook_service_pb2 import ListDeliveriesRequest
from batchscribe.v1.webhook_service_pb2_grpc import WebhookServiceStub
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.api_key import ApiKey
from gateway.http import create_app
from gateway.store import Accounts, NewKey, connect
from tests.running_gateway import RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.support import wait_until
from tests.valkey import Valkey

OWNER, STRANGER = ApiKey.new(), ApiKey.new()
USERS = {"ann": OWNER, "bob": STRANGER}
REQUEST_ID = "1b2c1e0a-5d0b-4c4e-9a51-0c6f5e1d2b3a"
SERVICES = (
    batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"],
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
)
METHODS = {method.name: method for service in SERVICES for method in service.methods}
# What cannot name anything of another user, by a word for why.
NAMES_NOTHING = {
    "CreateBatch": "tested below",
    "ListBatches": "tested below",
    "GetQuota": "tested below",
    "RotateSecret": "tested below",
    "ListModels": "the same for all",
}


@dataclass(frozen=True)
class Things:
    """What the owner has: an ended batch with a transcript and a webhook."""

    ended: str
    item: str
    transcript: str

    @property
    def ids(self) -> Mapping[str, Any]:
        """A value for each field of a request that names something."""
        return {
            "batch_id": self.ended,
            "item_ids": [self.item],
            "transcription_id": self.transcript,
            "webhook_id": self.ended.replace("batch_", "msg_") + "_1",
        }


def metadata(key: ApiKey) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key.text}"),)


@asynccontextmanager
async def two_users(valkey: Valkey, *transcribers: str) -> AsyncIterator[RunningGateway]:
    """A gateway that knows the owner and the stranger, over an empty Redis."""
    valkey.flush()
    async with connect(valkey.url) as client:
        for user, key in USERS.items():
            new = NewKey(key.key_id, key.digest)
            await Accounts(client).enrol("test", new, user, tier="unlimited", default_tier="")
    async with running_gateway(
        valkey.url, transcribers, http_listen="127.0.0.1:0", webhook_retry_seconds=(3600,)
    ) as gateway:
        yield gateway


@asynccontextmanager
async def with_things(valkey: Valkey) -> AsyncIterator[tuple[RunningGateway, Things]]:
    async with (
        running(ScriptedTranscriber()) as transcriber,
        two_users(valkey, transcriber.address) as gateway,
    ):
        ended = await create(gateway, OWNER, request_id=REQUEST_ID)
        async for _ in gateway.stub.WatchBatch(
            WatchBatchRequest(batch_id=ended), metadata=metadata(OWNER)
        ):
            pass
        found = await gateway.stub.GetBatch(
            GetBatchRequest(batch_id=ended), metadata=metadata(OWNER)
        )
        (item,) = found.batch.items
        await wait_until(lambda: was_notified(gateway, ended))
        yield gateway, Things(ended, item.item_id, item.transcription_id)


async def was_notified(gateway: RunningGateway, batch_id: str) -> bool:
    """Return whether the webhook was tried, in vain; from then on nothing moves by itself."""
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        found = await WebhookServiceStub(channel).ListDeliveries(
            ListDeliveriesRequest(batch_id=batch_id), metadata=metadata(OWNER)
        )
    return bool(found.deliveries[0].last_error)


async def create(gateway: RunningGateway, key: ApiKey, request_id: str = "") -> str:
    request = CreateBatchRequest(
        videos=[VideoSpec(url="https://x.test/1")],
        options=BatchOptions(notify_webhook="https://receiver.test/"),
        request_id=request_id,
    )
    return (await gateway.stub.CreateBatch(request, metadata=metadata(key))).batch.batch_id


def request_for(method: str, things: Things) -> Message:
    """Return the request of ``method`` with everything in it that the owner's ids can be."""
    made: Message = GetMessageClass(METHODS[method].input_type)()
    for name in set(things.ids) & set(made.DESCRIPTOR.fields_by_name):
        value = things.ids[name]
        if isinstance(value, str):
            setattr(made, name, value)
        else:
            getattr(made, name).extend(value)
    return made


async def told(gateway: RunningGateway, method: str, request: Message) -> object:
    """Return all that the stranger is told: messages, status, its words, details and metadata."""
    path = f"/{METHODS[method].containing_service.full_name}/{method}"
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        # For a client one answer is a stream of one.
        open_stream: Any = channel.unary_stream(path)
        call = open_stream(request.SerializeToString(), metadata=metadata(STRANGER))
        messages = []
        with suppress(grpc.aio.AioRpcError):
            while (message := await call.read()) is not grpc.aio.EOF:
                messages.append(message)
        trailing, initial = await call.trailing_metadata(), await call.initial_metadata()
        return messages, await call.code(), await call.details(), tuple(trailing), tuple(initial)


def routes() -> list[str]:
    """Return every route that has something in its path, as verb and path."""
    app = create_app(grpc.aio.insecure_channel("unix:///nowhere"))
    paths = app.openapi()["paths"]
    return [f"{verb.upper()} {path}" for path in paths for verb in paths[path] if "{" in path]


async def told_over_http(gateway: RunningGateway, route: str, things: Things) -> object:
    """Return status, headers and body of a route about the owner's batch."""
    method, _, path = route.partition(" ")
    async with httpx2.AsyncClient(base_url=f"http://{gateway.http}") as client:
        response = await client.request(
            method,
            path.format(**things.ids),
            headers={"Authorization": f"Bearer {STRANGER.text}"},
        )
    headers = {name: value for name, value in response.headers.items() if name != "date"}
    return response.status_code, headers, response.content


async def owned(url: str) -> dict[bytes, Any]:
    """Return everything in Redis that is the owner's."""
    client: Any = redis.asyncio.Redis.from_url(url)
    names = sorted([name async for name in client.scan_iter(match="{bs}:u:ann:*")])
    dumps = {name: await client.dump(name) for name in names}
    await client.aclose()
    return dumps


def test_every_rpc_is_asked() -> None:
    """An RPC that is added is asked about a stranger's things, unless it can name none."""
    named = {
        name
        for name, method in METHODS.items()
        if set(method.input_type.fields_by_name) & set(Things("", "", "").ids)
    }
    assert METHODS.keys() == named | NAMES_NOTHING.keys()


async def test_routes_name_things_by_the_contracts_names() -> None:
    """Every route with something in its path is asked about a stranger's things."""
    paths = routes()
    assert len(paths) > 5
    for route in paths:
        assert "{" not in route.format(**Things("", "", "").ids)


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """The RPCs that name something, in an order in which those that change come last."""
    return sorted(METHODS.keys() - NAMES_NOTHING.keys())


async def test_another_users_things_do_not_exist(valkey: Valkey, asked: list[str]) -> None:
    """Every RPC and route answers about them as about what never was, and changes none of them."""
    async with with_things(valkey) as (gateway, things):
        requests = {method: request_for(method, things) for method in asked}
        before = await owned(valkey.url)
        hidden = {method: await told(gateway, method, requests[method]) for method in asked}
        hidden |= {route: await told_over_http(gateway, route, things) for route in routes()}
        assert await owned(valkey.url) == before
    async with two_users(valkey) as gateway:
        absent = {method: await told(gateway, method, requests[method]) for method in asked}
        absent |= {route: await told_over_http(gateway, route, things) for route in routes()}
    for name, answer in absent.items():
        assert hidden[name] == answer, name
        code = answer[1] if name in METHODS else answer[0]  # type: ignore[index]
        assert code in (grpc.StatusCode.NOT_FOUND, 404), name


async def test_lists_and_quota_are_ones_own(valkey: Valkey) -> None:
    """A stranger's list is empty and their quota untouched, whatever others have."""
    names = ("ListBatches", "GetQuota")
    async with with_things(valkey) as (gateway, things):
        hidden = [await told(gateway, name, request_for(name, things)) for name in names]
    async with two_users(valkey) as gateway:
        assert hidden == [await told(gateway, name, request_for(name, things)) for name in names]


async def test_a_request_id_is_ones_own(valkey: Valkey) -> None:
    """The request_id of another user makes a batch of one's own, not theirs."""
    async with with_things(valkey) as (gateway, things):
        assert await create(gateway, STRANGER, request_id=REQUEST_ID) != things.ended
        assert await create(gateway, OWNER, request_id=REQUEST_ID) == things.ended


async def test_signing_secrets_are_ones_own(valkey: Valkey) -> None:
    """Who rotates their secret leaves that of others alone."""
    async with with_things(valkey) as (gateway, things):
        before = await owned(valkey.url)
        await told(gateway, "RotateSecret", request_for("RotateSecret", things))
        assert await owned(valkey.url) == before
