"""Messages of the contract from and to JSON, with the proto's field names.

Whatever the schema of a request refuses is told with its place, before anything is called.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic_core import from_json

from gateway.errors import Violation
from gateway.http.schemas import Schema, components, of_object, short_names

_MAX_VIOLATIONS = 100
_SENTENCE_CHARS = 200  # It quotes what came.
_REASONS = {"type": "WRONG_TYPE", "enum": "UNKNOWN_VALUE", "additionalProperties": "UNKNOWN_FIELD"}
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_PLACE = re.compile(r" at \w+\.([\w.\[\]]+)")


class UnreadableRequest(Exception):
    """A request that is not of its form; ``violations`` say where."""

    def __init__(self, *violations: Violation) -> None:
        self.violations = violations


class RequestForm:
    """What a request of one ``kind`` may hold beside what its path says: ``properties``."""

    def __init__(self, kind: Descriptor, properties: Mapping[str, Schema]) -> None:
        held = {"components": {"schemas": components([kind])}}
        self._new = GetMessageClass(kind)
        self._enums = {field.name: field.enum_type for field in kind.fields}
        self._validator = Draft202012Validator({**of_object(properties), **held})

    def read(self, values: object, path: Mapping[str, object]) -> Message:
        """Return the request that both spell; raise UnreadableRequest if ``values`` are wrong."""
        found = sorted(self._validator.iter_errors(values), key=lambda error: error.json_path)
        if found or not isinstance(values, dict):
            raise UnreadableRequest(*map(_violation, found[:_MAX_VIOLATIONS]))
        try:
            return json_format.ParseDict({**self._full_names(values), **path}, self._new())
        except json_format.ParseError as error:  # What a schema cannot say, such as bad text.
            place = _PLACE.search(str(error))
            sentence = "This holds a value that cannot be read."
            raise UnreadableRequest(
                Violation(place[1] if place else "", "UNREADABLE", sentence)
            ) from None

    def _full_names(self, values: Mapping[str, object]) -> dict[str, object]:
        return {
            name: short_names(enum).get(str(value), value) if (enum := self._enums[name]) else value
            for name, value in values.items()
        }


def of_body(raw: bytes) -> object:
    """Return the JSON of a body; none is an object without fields."""
    try:
        return from_json(raw or b"{}", allow_inf_nan=False)
    except ValueError:
        raise UnreadableRequest(
            Violation("", "JSON_INVALID", "The body is not JSON in UTF-8.")
        ) from None


def of_query(query: Mapping[str, str], fields: Mapping[str, FieldDescriptor]) -> dict[str, object]:
    """Return the values in a query, numbers as such; what is no field stays as it came."""
    return {name: _value(text, fields.get(name)) for name, text in query.items()}


def written(message: Message) -> dict[str, Any]:
    """Return a message as JSON; fields that cannot be absent are always there."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _value(text: str, field: FieldDescriptor | None) -> object:
    if field and field.cpp_type == FieldDescriptor.CPPTYPE_INT32 and _INTEGER.fullmatch(text):
        return int(text)
    return text


def _violation(error: ValidationError) -> Violation:
    place = error.json_path.removeprefix("$").removeprefix(".")
    reason = _REASONS.get(str(error.validator), "WRONG_FORM")
    return Violation(place, reason, f"{error.message[:_SENTENCE_CHARS]}.")
