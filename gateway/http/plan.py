"""The plan's two routes: its JSON request, and what it asks for in terms of the contract."""

from typing import Annotated, Any

from batchscribe.v1.batch_pb2 import BatchOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest, GetBatchRequest, ListModelsRequest
from fastapi import APIRouter, Depends, Header, Response
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from gateway.document import BatchDocument, document
from gateway.http.calls import CALL_TIMEOUT_SECONDS, ROOT, Batches, Caller
from gateway.http.comments import comment_of
from gateway.http.openapi import BatchId

BATCHES = f"{ROOT}/transcribe/batch"

# Used for a video that names no model, if it is served.
PLAN_MODEL = "base"

_MAX_INT32 = 2**31 - 1
_ABSENT_MODEL = 'Model name. Without one it is "base" if that is served, else the default.'
_AT_A_TIME = "The most videos of this batch that run at a time."
_ENDINGS = {".url": ".youtube_url", "request_id": "Idempotency-Key"}


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # Half of a surrogate pair, which JSON can spell.
        raise PydanticCustomError("not_text", "This is no text: it cannot be encoded.") from None
    return value


def _as(field: str) -> Any:
    """Say of a field what the contract says of its own."""
    return Field(description=comment_of(f"batchscribe.v1.{field}"))


Text = Annotated[str, AfterValidator(_text)]
Key = Annotated[str, Header(description=comment_of("batchscribe.v1.CreateBatchRequest.request_id"))]


class VideoRequest(BaseModel):
    """One video of a batch."""

    youtube_url: Annotated[Text, _as("VideoSpec.url")]
    language: Annotated[Text, _as("VideoSpec.language")] = "auto"
    model: Annotated[Text, Field(description=_ABSENT_MODEL)] = ""


class OptionsRequest(BaseModel):
    """How the batch runs, and whom to tell of its end; ``expand_playlists`` is our addition."""

    parallel: Annotated[bool, _as("BatchOptions.parallel")] = True
    max_concurrent: Annotated[int, Field(ge=1, le=_MAX_INT32, description=_AT_A_TIME)] = 3
    continue_on_error: Annotated[bool, _as("BatchOptions.continue_on_error")] = True
    notify_webhook: Annotated[Text | None, _as("BatchOptions.notify_webhook")] = None
    expand_playlists: Annotated[bool, _as("BatchOptions.expand_playlists")] = False


class BatchRequest(BaseModel):
    """A list of videos, and how they are transcribed together."""

    videos: Annotated[list[VideoRequest], _as("CreateBatchRequest.videos")]
    options: Annotated[OptionsRequest, _as("CreateBatchRequest.options")] = OptionsRequest()


def create_request(
    body: BatchRequest, served_models: frozenset[str], request_id: str
) -> CreateBatchRequest:
    """Return what the plan's request asks for; an empty model means the server's default."""
    absent = PLAN_MODEL if PLAN_MODEL in served_models else ""
    return CreateBatchRequest(
        videos=[
            VideoSpec(url=video.youtube_url, language=video.language, model=video.model or absent)
            for video in body.videos
        ],
        options=BatchOptions(
            parallel=body.options.parallel,
            max_concurrent=body.options.max_concurrent,
            continue_on_error=body.options.continue_on_error,
            notify_webhook=body.options.notify_webhook or "",
            expand_playlists=body.options.expand_playlists,
        ),
        request_id=request_id,
    )


def router() -> APIRouter:
    """Return the plan's routes."""
    routes = APIRouter(prefix=BATCHES, tags=["Plan"])
    routes.add_api_route(
        "", _create, methods=["POST"], status_code=202, operation_id="PlanCreateBatch"
    )
    routes.add_api_route("/{batch_id}", _get, methods=["GET"], operation_id="PlanGetBatch")
    return routes


def plan_name(path: str) -> str:
    """Return the plan's name for a field of the contract."""
    for ending, name in _ENDINGS.items():
        if path.endswith(ending):
            return path.removesuffix(ending) + name
    return path


async def _served_models(batches: Batches, caller: Caller) -> frozenset[str]:
    # As a dependency it comes before the body is read as a batch: who has no key learns no more.
    listed = await batches.ListModels(
        ListModelsRequest(), metadata=caller, timeout=CALL_TIMEOUT_SECONDS
    )
    return frozenset(model.name for model in listed.models)


async def _create(
    body: BatchRequest,
    response: Response,
    batches: Batches,
    caller: Caller,
    served_models: Annotated[frozenset[str], Depends(_served_models)],
    idempotency_key: Key = "",
) -> BatchDocument:
    """Starts a batch; with an ``Idempotency-Key`` (a UUID4) it is safe to send again."""
    created = await batches.CreateBatch(
        create_request(body, served_models, idempotency_key),
        metadata=caller,
        timeout=CALL_TIMEOUT_SECONDS,
    )
    response.headers["Location"] = f"{BATCHES}/{created.batch.batch_id}"
    return document(created.batch)


async def _get(batch_id: BatchId, batches: Batches, caller: Caller) -> BatchDocument:
    """Returns a batch as it is now."""
    found = await batches.GetBatch(
        GetBatchRequest(batch_id=batch_id), metadata=caller, timeout=CALL_TIMEOUT_SECONDS
    )
    return document(found.batch)
