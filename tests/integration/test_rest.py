"""The contract as REST, over a real socket: a whole gateway, its events, its files, its errors."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.running_gateway import KEY, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, failed, running, succeeded

ADDRESS = "127.0.0.1:0"
API = "/api/v1"


@pytest.fixture
async def http(redis_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a gateway whose transcriber hears everything but what is called broken."""

    async def script(_: ScriptedTranscriber, request: Any) -> Any:
        return failed() if "broken" in request.url else succeeded()

    async with (
        running(ScriptedTranscriber(script)) as transcriber,
        running_gateway(redis_url, [transcriber.address], http_listen=ADDRESS) as gateway,
        client_of(gateway) as client,
    ):
        yield client


@asynccontextmanager
async def client_of(gateway: RunningGateway, key: str = KEY) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=f"http://{gateway.http}", headers=headers) as client:
        yield client


async def made(http: httpx2.AsyncClient, *names: str) -> str:
    """Make a batch of videos of these names and return its id."""
    videos = [{"url": f"https://example.org/{name}.mp4"} for name in names]
    response = await http.post(f"{API}/batches", json={"videos": videos})
    assert response.status_code == 201, response.text
    batch_id: str = response.json()["batch"]["batch_id"]
    return batch_id


async def events(http: httpx2.AsyncClient, batch_id: str, after: int = 0) -> list[dict[str, str]]:
    """Return the events of a batch until its stream ends, as their fields."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with http.stream("GET", f"{API}/batches/{batch_id}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        text = (await response.aread()).decode()
    blocks = [block.splitlines() for block in text.split("\r\n\r\n") if block.strip()]
    return [dict(line.split(": ", 1) for line in lines) for lines in blocks]


async def test_a_batch_lives_over_rest(http: httpx2.AsyncClient) -> None:
    """A batch is made, followed, listed, read, retried and deleted with JSON alone."""
    batch_id = await made(http, "one", "broken")
    told = await events(http, batch_id)
    assert told[-1]["event"] == "end"
    batch = (await http.get(f"{API}/batches/{batch_id}")).json()["batch"]
    assert batch["state"] == "BATCH_STATE_PARTIALLY_SUCCEEDED"
    assert (batch["progress"]["succeeded"], batch["progress"]["pending"]) == (1, 0)
    listed = (await http.get(f"{API}/batches", params={"page_size": 1})).json()["batches"]
    assert [found["batch_id"] for found in listed] == [batch_id]
    items = (await http.get(f"{API}/batches/{batch_id}/items?state=failed")).json()["items"]
    assert [item["error"]["reason"] for item in items] == ["NO_AUDIO"]
    retried = await http.post(f"{API}/batches/{batch_id}/retry")
    assert retried.json()["batch"]["round"] == 2
    await events(http, batch_id)
    assert (await http.delete(f"{API}/batches/{batch_id}")).status_code == 204
    assert (await http.get(f"{API}/batches/{batch_id}")).status_code == 404


async def test_events_resume_after_the_last_one_seen(http: httpx2.AsyncClient) -> None:
    """With the id of any event, a stream tells just the changes after it."""
    batch_id = await made(http, "one", "two")
    told = await events(http, batch_id)
    last = int(told[-2]["id"])
    assert last > 2
    for after in range(1, last):
        again = await events(http, batch_id, after)
        changes = [int(event["id"]) for event in again if "changed" in event.get("event", "")]
        assert changes == list(range(after + 1, last + 1))


async def test_events_after_what_never_was_begin_again(http: httpx2.AsyncClient) -> None:
    """A revision the store does not know any more is answered with a snapshot."""
    batch_id = await made(http, "one")
    await events(http, batch_id)
    told = await events(http, batch_id, after=1_000_000)
    assert [event.get("event") for event in told[1:]] == ["snapshot", "end"]
    assert json.loads(told[1]["data"])["snapshot"]["batch_id"] == batch_id


async def test_transcripts_are_downloaded_one_or_all(http: httpx2.AsyncClient) -> None:
    """A transcript comes as JSON and as a file, those of a batch in one archive, in order."""
    batch_id = await made(http, "one", "broken", "two")
    await events(http, batch_id)
    items = (await http.get(f"{API}/batches/{batch_id}/items?state=succeeded")).json()["items"]
    transcript = f"{API}/transcripts/{items[0]['transcription_id']}"
    assert (await http.get(transcript)).json()["transcript"]["text"] == "Hello."
    file = await http.get(f"{transcript}/export?format=srt")
    assert "Hello." in file.text
    assert file.headers["content-disposition"].startswith("attachment; filename*=UTF-8''A%20title")
    archive = await http.get(f"{API}/batches/{batch_id}/export?format=txt")
    assert archive.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(archive.content)) as files:
        assert [name[:4] for name in files.namelist()] == ["001 ", "002 "]
        assert files.read(files.namelist()[1]).decode().strip() == "Hello."


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/batches", {"videos": [{"url": 3}]}, "videos[0].url"),
        ("POST", "/batches", {"videos": [{"url": "no address"}]}, "videos[0].url"),
        ("POST", "/batches", {"videos": [], "colour": 1}, ""),
        ("POST", "/batches", [], ""),
        ("POST", "/batches", {"annotations": {"a": "\ud800"}}, ""),
        ("GET", "/batches?page_size=few", None, "page_size"),
        ("GET", "/batches?colour=red", None, ""),
        ("GET", "/batches/x/items?state=lost", None, "state"),
        ("GET", "/batches/x/events?after_revision=-1", None, "after_revision"),
        ("GET", "/transcripts/x/export?format=pdf", None, "format"),
    ],
)
async def test_a_bad_request_is_told_by_its_field(
    http: httpx2.AsyncClient, method: str, path: str, body: object, field: str
) -> None:
    """What is wrong with a request is a problem that names the field, in the contract's names."""
    content = None if body is None else json.dumps(body)
    response = await http.request(method, f"{API}{path}", content=content)
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert field in [violation["field"] for violation in response.json()["violations"]]


@pytest.mark.parametrize(
    "path",
    ["", "/items", "/events", "/export", "/deliveries"],
)
async def test_what_is_not_there_is_not_found(http: httpx2.AsyncClient, path: str) -> None:
    """Nothing of a batch that does not exist is there, events and files included."""
    response = await http.get(f"{API}/batches/batch_{'0' * 32}{path}")
    assert response.status_code == 404, response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_nothing_is_told_without_a_key(redis_url: str) -> None:
    """Every route of the contract asks for a key."""
    async with (
        running_gateway(redis_url, http_listen=ADDRESS) as gateway,
        client_of(gateway, "wrong") as http,
    ):
        document = (await http.get("/openapi.json")).json()
        routes = [(path, method) for path, found in document["paths"].items() for method in found]
        assert len(routes) > 15
        for path, method in routes:
            if path == "/healthz":
                continue
            response = await http.request(method, path, json={})
            assert response.status_code == 401, (method, path, response.text)
