"""JSON Schemas of the contract's messages as proto JSON writes them: for OpenAPI and for checks."""

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from gateway.http.comments import comment_of

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
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["3.5s"],
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}


def reference(declared: Descriptor | EnumDescriptor) -> Schema:
    """Return what stands for a message or an enum: a reference, or the form of a well-known one."""
    return _WELL_KNOWN.get(declared.full_name) or {"$ref": REFERENCE + declared.name}


def components(messages: Iterable[Descriptor]) -> dict[str, Schema]:
    """Return the schemas of ``messages``, and of all messages and enums they hold, by name."""
    found: dict[str, Schema] = {}
    waiting: list[Descriptor | EnumDescriptor] = list(messages)
    while waiting:
        declared = waiting.pop()
        if declared.name in found or declared.full_name in _WELL_KNOWN:
            continue
        if isinstance(declared, EnumDescriptor):
            found[declared.name] = _of_enum(declared)
            continue
        if not declared.GetOptions().map_entry:
            found[declared.name] = of_message(declared)
        waiting += filter(
            None, (field.message_type or field.enum_type for field in declared.fields)
        )
    return found


def of_message(message: Descriptor) -> Schema:
    """Return the schema of an object that holds the fields of ``message`` and no others."""
    form = of_object({field.name: of_field(field) for field in message.fields})
    return {**form, "description": comment_of(message.full_name)}


def of_object(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object that holds ``properties`` and no others."""
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def of_field(field: FieldDescriptor) -> Schema:
    """Return the schema of a field, with what the contract says of it."""
    return {**_form(field), "description": comment_of(field.full_name)}


def of_parameter(field: FieldDescriptor) -> Schema:
    """Return the schema of a field in a path or a query, where enum values have short names."""
    if field.enum_type:
        return {"type": "string", "enum": list(short_names(field.enum_type))}
    return _form(field)


def short_names(enum: EnumDescriptor) -> dict[str, str]:
    """Return the names of an enum's values by short ones: ``failed`` is ITEM_STATE_FAILED."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.name for value in enum.values[1:]}


def _form(field: FieldDescriptor) -> Schema:
    """Return a value, a list of them or a map."""
    entry = field.message_type
    if entry and entry.GetOptions().map_entry:
        value = _of_value(entry.fields_by_name["value"])
        return {"type": "object", "additionalProperties": value}
    value = _of_value(field)
    return {"type": "array", "items": value} if field.is_repeated else value


def _of_value(field: FieldDescriptor) -> Schema:
    declared = field.message_type or field.enum_type
    return reference(declared) if declared else _SCALARS[field.type]


def _of_enum(enum: EnumDescriptor) -> Schema:
    names = [value.name for value in enum.values]
    said = [f"- `{name}`: {comment_of(f'{enum.full_name}.{name}')}" for name in names]
    description = "\n".join([comment_of(enum.full_name), "", *said])
    return {"type": "string", "enum": names, "description": description}
