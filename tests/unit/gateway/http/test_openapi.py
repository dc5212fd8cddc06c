"""The OpenAPI document says what everything in it means, in the words of the protos."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.http import create_app, problems
from gateway.http.calls import ROOT
from gateway.store import Queue

REPOSITORY = Path(__file__).parents[4]

Document = dict[str, Any]


@pytest.fixture
async def document() -> Document:
    async with grpc.aio.insecure_channel("unix:nowhere") as channel:
        return create_app(channel, _no_queue).openapi()


def test_everything_is_described(document: Document) -> None:
    """Each route, parameter, schema and field has a description."""
    assert [name for name, thing in _things(document) if not thing.get("description")] == []


def test_routes_are_summarised_and_sorted(document: Document) -> None:
    """Each route has a summary, which begins what is said of it, and a tag that is explained."""
    tags = {tag["name"] for tag in document["tags"]}
    for _, operation in _operations(document):
        assert operation["description"].startswith(operation["summary"])
        assert set(operation["tags"]) <= tags
        assert len(operation["tags"]) == 1


def test_what_is_said_is_said_in_the_protos(document: Document) -> None:
    """A field has the comment of its declaration, an enum also those of its values."""
    schemas = document["components"]["schemas"]
    assert schemas["Batch"]["properties"]["create_time"]["description"] == (
        "When CreateBatch stored it."
    )
    state = schemas["BatchState"]["description"]
    assert "- `BATCH_STATE_PENDING`: No video has started.\n" in state


def test_the_page_on_the_api_has_every_route(document: Document) -> None:
    """docs/api.md names each route that needs a key, and each status that stands for gRPC's."""
    page = (REPOSITORY / "docs/api.md").read_text().replace(ROOT, "")
    keyed = [name for name, operation in _operations(document) if operation.get("security") != []]
    assert [name for name in keyed if not re.search(rf"`{re.escape(name)}[`?]", page)] == []
    for code, status in problems.HTTP_STATUS.items():
        assert re.search(rf"^\| {status.value}\b.*\b{code.name}\b", page, re.MULTILINE)


def _things(document: Document) -> Iterator[tuple[str, Document]]:
    for name, operation in _operations(document):
        yield name, operation
        for parameter in operation.get("parameters", ()):
            yield f"{name} {parameter['name']}", parameter
    for name, schema in document["components"]["schemas"].items():
        yield name, schema
        for field, described in schema.get("properties", {}).items():
            yield f"{name}.{field}", described


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path.removeprefix(ROOT)}", operation


async def _no_queue() -> Queue:
    return Queue()
