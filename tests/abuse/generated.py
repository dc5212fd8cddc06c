"""Requests that nobody foresaw: messages, bytes, JSON and headers, made by Hypothesis."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from batchscribe.v1.batch_pb2 import BatchOptions, VideoSpec
from batchscribe.v1.batch_service_pb2 import CreateBatchRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")
Strategy = st.SearchStrategy[T]

_DEPTH = 3
_INTEGERS = st.integers(-3, 12) | st.integers(-(2**31), 2**31 - 1)
_LONGS = _INTEGERS | st.integers(-(2**63), 2**63 - 1)
_NATURALS = st.integers(0, 12) | st.integers(0, 2**32 - 1)
_SCALARS: dict[int, Strategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 9) | _INTEGERS,
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_INT32: _INTEGERS,
    FieldDescriptor.TYPE_INT64: _LONGS,
    FieldDescriptor.TYPE_UINT32: _NATURALS,
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


class Generator:
    """Makes requests; ``words`` are texts that mean something to the server, such as its ids."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def text(self) -> Strategy[str]:
        known = st.integers(0, 1 << 30).map(lambda n: self._words[n % len(self._words)])
        return known | st.text(max_size=40)

    def message(self, kind: Descriptor, depth: int = _DEPTH) -> Strategy[Message]:
        """Return messages of ``kind`` that its schema allows, sensible or not."""
        made = st.fixed_dictionaries({}, optional=self._fields(kind, depth)).map(
            lambda values: GetMessageClass(kind)(**values)
        )
        if kind is CreateBatchRequest.DESCRIPTOR:
            return made | self._sensible_batches()
        return made

    def wire(self, kind: Descriptor) -> Strategy[bytes]:
        """Return bytes of a message of ``kind``, and as often bytes that are none or broken."""
        whole = self.message(kind).map(lambda message: message.SerializeToString())
        broken = st.tuples(whole, st.binary(max_size=12), st.integers(0, 200)).map(
            lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] + len(parts[1]) :]
        )
        return st.one_of(whole, whole, broken, st.binary(max_size=200))

    def body(self, kind: Descriptor) -> Strategy[bytes]:
        """Return JSON of a message of ``kind``, and as often other JSON or what is none."""
        whole = self.message(kind).map(_as_json)
        other = _JSON.map(lambda value: json.dumps(value).encode())
        return st.one_of(whole, whole, other, st.binary(max_size=200))

    def _fields(self, kind: Descriptor, depth: int) -> dict[str, Strategy[Any]]:
        return {
            field.name: self._values(field, depth)
            for field in kind.fields
            if depth or field.message_type is None
        }

    def _values(self, field: FieldDescriptor, depth: int) -> Strategy[Any]:
        if field.message_type and field.message_type.GetOptions().map_entry:
            return st.dictionaries(self.text(), self.text(), max_size=3)
        one = self._value(field, depth)
        return st.lists(one, max_size=3) if field.is_repeated else one

    def _value(self, field: FieldDescriptor, depth: int) -> Strategy[Any]:
        if field.message_type:
            return self.message(field.message_type, depth - 1)
        if field.type == FieldDescriptor.TYPE_STRING:
            return self.text()
        return _SCALARS[field.type]

    def _sensible_batches(self) -> Strategy[Message]:
        videos = st.builds(
            VideoSpec,
            url=st.integers(0, 99).map("https://public.example/{}".format),
            language=st.sampled_from(["", "en"]),
        )
        return st.builds(
            CreateBatchRequest,
            videos=st.lists(videos, min_size=1, max_size=4),
            options=st.builds(BatchOptions, max_concurrent=st.integers(0, 10)),
            display_name=st.text(max_size=20),
        )


def each(strategy: Strategy[T], count: int, act: Callable[[T], None]) -> None:
    """Call ``act`` with ``count`` examples, the same at every run."""

    @seed(count)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: T) -> None:
        act(example)

    run()


def _as_json(message: Message) -> bytes:
    try:
        return json.dumps(MessageToDict(message)).encode()
    except (
        SerializeToJsonError,
        ValueError,
    ):  # Times and spans that are out of their range have no JSON.
        return b"{}"
