"""JSON Schemas of the contract's messages as proto JSON writes them: for OpenAPI and for checks."""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

Schema = dict[str, object]

REFERENCE = "#/components/schemas/"

_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_NUMBER: Schema = {"type": "number"}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
    FieldDescriptorProto.TYPE_BYTES: {"type": "string", "format": "byte"},
    FieldDescriptorProto.TYPE_INT32: _INT32,
    FieldDescriptorProto.TYPE_INT64: _INT64,
    FieldDescriptorProto.TYPE_FLOAT: _NUMBER,
    FieldDescriptorProto.TYPE_DOUBLE: _NUMBER,
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {
        "type": "string",
        "description": "Seconds with an s, such as 3.5s.",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}


def reference(message: Descriptor) -> Schema:
    """Return what stands for a message: a reference, or the form of a well-known one."""
    return _WELL_KNOWN.get(message.full_name) or {"$ref": REFERENCE + message.name}


def components(messages: Iterable[Descriptor]) -> dict[str, Schema]:
    """Return the schemas of ``messages`` and of all they hold, by name."""
    found: dict[str, Schema] = {}
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        is_form = message.GetOptions().map_entry or message.full_name in _WELL_KNOWN
        if is_form or message.name in found:
            continue
        found[message.name] = of_message(message)
        waiting += filter(None, (field.message_type for field in message.fields))
    return found


def of_message(message: Descriptor) -> Schema:
    """Return the schema of an object that holds the fields of ``message`` and no others."""
    return of_object({field.name: of_field(field) for field in message.fields})


def of_object(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object that holds ``properties`` and no others."""
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def of_field(field: FieldDescriptor) -> Schema:
    """Return the schema of a field: a value, a list of them or a map."""
    entry = field.message_type
    if entry and entry.GetOptions().map_entry:
        value = _of_value(entry.fields_by_name["value"])
        return {"type": "object", "additionalProperties": value}
    value = _of_value(field)
    return {"type": "array", "items": value} if field.is_repeated else value


def of_parameter(field: FieldDescriptor) -> Schema:
    """Return the schema of a field in a query, where enum values go by their short names."""
    if field.enum_type:
        return {"type": "string", "enum": list(short_names(field.enum_type))}
    return of_field(field)


def short_names(enum: EnumDescriptor) -> dict[str, str]:
    """Return the names of an enum's values by short ones: ``failed`` is ITEM_STATE_FAILED."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.name for value in enum.values[1:]}


def _of_value(field: FieldDescriptor) -> Schema:
    if field.message_type:
        return reference(field.message_type)
    if field.enum_type:
        return _of_enum(field.enum_type)
    return _SCALARS[field.type]


def _of_enum(enum: EnumDescriptor) -> Schema:
    return {"type": "string", "enum": [value.name for value in enum.values]}
