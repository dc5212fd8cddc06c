"""What the protos say of all that they declare, from the descriptor set beside the stubs."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet


def comment_of(name: str) -> str:
    """Return the comment on what has this full name, such as ``batchscribe.v1.Batch.state``."""
    return _comments()[name]


@cache
def _comments() -> Mapping[str, str]:
    raw = resources.files("batchscribe.v1").joinpath("descriptor_set.binpb").read_bytes()
    return {
        name: comment
        for file in FileDescriptorSet.FromString(raw).file
        for name, comment in _commented(file)
    }


def _commented(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        declares = len(location.path) % 2 == 0  # Else it is the file itself that is commented.
        if declares and location.leading_comments:
            yield _full_name(file, location.path), _unwrapped(location.leading_comments)


def _unwrapped(comment: str) -> str:
    """Return a line for each paragraph, with an empty one between them."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in comment.split("\n\n"))


def _full_name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """Follow pairs of a field number and an index: 4, 0, 2, 1 is message 0, field 1."""
    place: Any = file
    names = [file.package]
    for number, index in zip(path[::2], path[1::2], strict=True):
        place = getattr(place, place.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(place.name)
    return ".".join(names)
