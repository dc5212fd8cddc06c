"""The REST routes of a whole gateway: the plan's example as printed, and its refusals."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.running_gateway import KEY, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.support import wait_until

ROUTE = "/api/v1/transcribe/batch"
ADDRESS = "127.0.0.1:0"

# As the plan prints it.
PLAN_REQUEST: dict[str, Any] = {
    "videos": [
        {"youtube_url": "https://youtube.com/watch?v=abc123", "language": "en", "model": "base"},
        {"youtube_url": "https://youtube.com/watch?v=def456", "language": "pt", "model": "small"},
    ],
    "options": {
        "parallel": True,
        "max_concurrent": 3,
        "continue_on_error": True,
        "notify_webhook": "https://myapp.com/webhook",
    },
}
PLAN_TIERS = {"unlimited": {"videos_per_batch": 10}}
MODELS = ("base", "small", "tiny.en")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def client_of(address: str, key: str = KEY) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"http://{address}", headers={"Authorization": f"Bearer {key}"}
    )


@asynccontextmanager
async def waiting_gateway(redis_url: str, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a gateway that has no transcriber."""
    async with (
        running_gateway(redis_url, http_listen=ADDRESS, models=MODELS, **settings) as gateway,
        client_of(gateway.http) as http,
    ):
        yield http


async def test_the_plans_example_works_as_printed(redis_url: str) -> None:
    """The plan's request is accepted, and its batch ends with the plan's response."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(
            redis_url, [transcriber.address], http_listen=ADDRESS, models=MODELS
        ) as gateway,
        client_of(gateway.http) as http,
    ):
        accepted = await http.post(ROUTE, json=PLAN_REQUEST)
        assert accepted.status_code == 202, accepted.text
        batch_id = accepted.json()["batch_id"]
        await gateway.ended(batch_id)
        found = (await http.get(f"{ROUTE}/{batch_id}")).json()
    assert re.fullmatch(r"batch_[0-9a-f]+", batch_id)
    assert (found["status"], found["completed"], found["failed"]) == ("completed", 2, 0)
    assert (found["progress_percentage"], found["estimated_completion"]) == (100, None)
    for index, result in enumerate(found["results"]):
        assert result["video_index"] == index
        assert result["youtube_url"] == PLAN_REQUEST["videos"][index]["youtube_url"]
        assert result["status"] == "success"
        assert result["transcription_id"].startswith("trans_")
        assert 0 <= result["processing_time"] < 10
        assert RFC_3339.fullmatch(result["completed_at"])
    for field in ("created_at", "updated_at", "completed_at"):
        assert RFC_3339.fullmatch(found[field])


async def test_a_new_batch_lists_its_videos(redis_url: str) -> None:
    """The 202 already has every result, pending, in the order of the request."""
    async with waiting_gateway(redis_url) as http:
        found = (await http.post(ROUTE, json=PLAN_REQUEST)).json()
    assert (found["status"], found["total_videos"]) == ("pending", 2)
    assert [one["status"] for one in found["results"]] == ["pending", "pending"]


async def test_sending_again_makes_no_second_batch(redis_url: str) -> None:
    """The same Idempotency-Key gives the same batch; with another body it is 409."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    async with waiting_gateway(redis_url) as http:
        first = await http.post(ROUTE, json=PLAN_REQUEST, headers=headers)
        again = await http.post(ROUTE, json=PLAN_REQUEST, headers=headers)
        other = {"videos": PLAN_REQUEST["videos"][:1]}
        reused = await http.post(ROUTE, json=other, headers=headers)
    assert first.json()["batch_id"] == again.json()["batch_id"]
    assert (reused.status_code, reused.json()["reason"]) == (409, "REQUEST_ID_REUSED")


async def test_what_is_refused_comes_with_paths(redis_url: str) -> None:
    """Every violation of the gateway's rules comes at once, by the plan's field names."""
    body = {
        "videos": [
            {"youtube_url": "ftp://example.com/a", "language": "xx"},
            {"youtube_url": "https://example.com/b", "model": "huge"},
        ],
        "options": {"max_concurrent": 11, "notify_webhook": "http://example.com/told"},
    }
    async with waiting_gateway(redis_url) as http:
        refused = await http.post(ROUTE, json=body, headers={"Idempotency-Key": "mine"})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["violations"]] == [
        "Idempotency-Key",
        "options.max_concurrent",
        "options.notify_webhook",
        "videos[0].youtube_url",
        "videos[0].language",
        "videos[1].model",
    ]


@pytest.mark.parametrize("count", [0, 11])
async def test_the_number_of_videos_is_limited(redis_url: str, count: int) -> None:
    """No video and eleven are 422 at ``videos``, where the tier has the plan's limit."""
    async with waiting_gateway(redis_url, tiers=PLAN_TIERS) as http:
        refused = await http.post(ROUTE, json={"videos": PLAN_REQUEST["videos"][:1] * count})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["violations"]] == ["videos"]


async def test_keys_and_ids_are_checked(redis_url: str) -> None:
    """A wrong key is 401, an empty and a missing one too; an unknown batch is 404."""
    async with waiting_gateway(redis_url) as http:
        wrong = await http.get(f"{ROUTE}/batch_0", headers={"Authorization": "Bearer wrong"})
        empty = await http.get(f"{ROUTE}/batch_0", headers={"Authorization": ""})
        unknown = await http.get(f"{ROUTE}/batch_0")
        del http.headers["Authorization"]
        missing = await http.get(f"{ROUTE}/batch_0")
    assert (wrong.status_code, wrong.json()["reason"]) == (401, "TOKEN_INVALID")
    assert (empty.status_code, empty.json()["reason"]) == (401, "TOKEN_INVALID")
    assert (missing.status_code, missing.json()["reason"]) == (401, "TOKEN_MISSING")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "BATCH_NOT_FOUND")


async def test_health_needs_no_key(redis_url: str) -> None:
    """/healthz turns 200 once the gateway serves."""

    async def is_healthy() -> bool:
        return (await http.get("/healthz", headers={"Authorization": ""})).status_code == 200

    async with waiting_gateway(redis_url) as http:
        assert await wait_until(is_healthy)
