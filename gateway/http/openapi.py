"""The OpenAPI document: the routes that FastAPI lists, and the contract's messages as schemas."""

import re
from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Any

from fastapi import FastAPI, Path
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.http.comments import comment_of
from gateway.http.schemas import REFERENCE, Schema, components, of_parameter

BatchId = Annotated[str, Path(description=comment_of("batchscribe.v1.GetBatchRequest.batch_id"))]

_TAGS = {
    "BatchService": comment_of("batchscribe.v1.BatchService"),
    "WebhookService": comment_of("batchscribe.v1.WebhookService"),
    "Plan": "The two routes of the original plan, with its own names of fields.",
    "Operation": "For those who run the service.",
}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


_VIOLATION: Schema = {
    "type": "object",
    "properties": {
        "field": _text("Where in the request, such as `videos[3].url`."),
        "reason": _text("What is wrong, as a fixed word for programs."),
        "description": _text("What is wrong, as a sentence."),
    },
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "Why something was not done (RFC 9457).",
    "required": ["type", "title", "status", "detail", "reason"],
    "properties": {
        "type": _text("Always `about:blank`: the status says what kind of problem it is."),
        "title": _text("The status in words."),
        "status": {"type": "integer", "description": "The status of the answer."},
        "detail": _text("What is wrong and what to do, as a sentence."),
        "reason": _text("The same, as a fixed word for programs."),
        "violations": {
            "type": "array",
            "items": _VIOLATION,
            "description": "All that is wrong with the request, place by place.",
        },
    },
}


def parameter(place: str, field: FieldDescriptor) -> Schema:
    """Return the description of a field that is in the path, where it is needed, or the query."""
    return {
        "in": place,
        "name": field.name,
        "description": comment_of(field.full_name),
        "schema": of_parameter(field),
        "required": place == "path",
    }


def json_content(schema: Schema) -> Schema:
    """Return the description of a JSON body."""
    return {"content": {"application/json": {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Why it was not done.",
        "content": {"application/problem+json": {"schema": {"$ref": f"{REFERENCE}Problem"}}},
    }
}


def describe(app: FastAPI, messages: Iterable[Descriptor]) -> None:
    """Let ``app`` serve a document that holds the schemas of ``messages`` and of problems."""
    document = app.openapi()
    held = document.setdefault("components", {})
    held.setdefault("schemas", {}).update({"Problem": _PROBLEM, **components(messages)})
    held["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    document["tags"] = [{"name": name, "description": said} for name, said in _TAGS.items()]
    for operation in chain.from_iterable(path.values() for path in document["paths"].values()):
        operation["summary"] = re.split(r"[.;:](?:\s|$)", operation["description"], maxsplit=1)[0]
