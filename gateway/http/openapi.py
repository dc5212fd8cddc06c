"""The OpenAPI document: the routes that FastAPI lists, and the contract's messages as schemas."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from google.protobuf.descriptor import Descriptor

from gateway.http.schemas import REFERENCE, Schema, components

_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "reason"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do, as a sentence."},
        "reason": {"type": "string", "description": "The same, for programs."},
        "violations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("field", "reason", "description")
                },
            },
        },
    },
}


def parameter(place: str, name: str, schema: Schema) -> Schema:
    """Return the description of a parameter; those in a path are needed."""
    return {"in": place, "name": name, "schema": schema, "required": place == "path"}


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
