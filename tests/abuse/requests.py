"""Every RPC and every route under requests that nobody foresaw, and what must hold afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast
from urllib.parse import quote

import grpc
import httpx2
from batchscribe.v1 import batch_service_pb2, webhook_service_pb2
from batchscribe.v1.batch_pb2 import Batch
from batchscribe.v1.batch_service_pb2 import (
    CreateBatchRequest,
    CreateBatchResponse,
    ListBatchesRequest,
    ListBatchesResponse,
    ListBatchItemsRequest,
    ListBatchItemsResponse,
)
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import strategies as st

from tests.abuse.generated import Generator, each
from tests.abuse.names import PUBLIC

_SERVICES = [
    service
    for file in (batch_service_pb2.DESCRIPTOR, webhook_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
]
_PREFIX = "/batchscribe.v1.BatchService"
# Redis is there: that it is away would be as wrong an answer as any.
_FAULTY = (
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
)
_UNFIT_FOR_USERS = ("Traceback", 'File "', "Exception", "Unexpected <class", "site-packages")
_TIMEOUT_SECONDS = 10.0
_STREAM_SECONDS = 0.3  # A watch without news is as good as one with them.
_STREAMED = 1
_WORDS = (
    *("", "auto", "en", "tiny.en", "base", "-", "batch_", "batch_1", "trans_1", "msg_1_1", "FULL"),
    *("7f2c1e0a-5d0b-4c4e-9a51-0c6f5e1d2b3a", f"http://{PUBLIC}/a.mp4", "http://127.0.0.1/", "srt"),
    *("file:///etc/passwd", "\0", "\u202e", "{bs}", "../..", "%00", "*", "a" * 3000, "🎬" * 50),
)


@dataclass
class Findings:
    """``faults`` are answers that no user should get, or state that nobody asked for."""

    requests: int = 0
    faults: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    def judge(self, where: str, is_internal: bool, text: str) -> None:
        self.requests += 1
        self.answers.append(text)
        if is_internal or any(mark in text for mark in _UNFIT_FOR_USERS):
            self.faults.append(f"{where}: {text[:300]}")


class Assault:
    """Sends generated requests with a good key; blocks, so it belongs in a thread."""

    def __init__(self, address: str, http: str, key: str) -> None:
        self.findings = Findings()
        self._channel = grpc.insecure_channel(address)
        self._http = httpx2.Client(base_url=f"http://{http}", trust_env=False, timeout=10)
        self._authorization = f"Bearer {key}"
        self._words = list(_WORDS)
        self._known = 0

    def run(self, count: int) -> Findings:
        """Send ``count`` requests to each RPC and each route, then look at what they left."""
        generator = Generator(self._words)
        with self._channel, self._http:
            self._known = len(self._batches())
            for service in _SERVICES:
                for method in service.methods:
                    self._assail_rpc(method, generator, count)
            for path, operations in self._routes().items():
                for verb in operations:
                    self._assail_route(verb.upper(), path, generator, count)
            self._check_state()
        return self.findings

    # ---- RPCs -----------------------------------------------------------------------------------

    def _assail_rpc(self, method: MethodDescriptor, generator: Generator, count: int) -> None:
        metadata = st.dictionaries(_names(), st.text("abc-", max_size=9), max_size=2)
        wanted = st.tuples(generator.wire(method.input_type), metadata)
        each(wanted, count, lambda made: self._call(method, *made))

    def _call(self, method: MethodDescriptor, body: bytes, extra: dict[str, str]) -> None:
        path = f"/{method.containing_service.full_name}/{method.name}"
        metadata = (("authorization", self._authorization), *extra.items())
        try:
            replies = self._replies(path, body, metadata, is_stream=method.server_streaming)
        except grpc.RpcError as error:
            call = cast(grpc.Call, error)
            self.findings.judge(path, call.code() in _FAULTY, str(call.details()))
        else:
            self.findings.judge(path, is_internal=False, text="")
            if method.input_type is CreateBatchRequest.DESCRIPTOR:
                self._note(CreateBatchResponse.FromString(replies[0]).batch.batch_id)

    def _replies(
        self, path: str, body: bytes, metadata: tuple[tuple[str, str], ...], *, is_stream: bool
    ) -> list[bytes]:
        if not is_stream:
            unary: Any = self._channel.unary_unary(path)
            return [unary(body, metadata=metadata, timeout=_TIMEOUT_SECONDS)]
        stream: Any = self._channel.unary_stream(path)
        call = stream(body, metadata=metadata, timeout=_STREAM_SECONDS)
        replies = list(islice(call, _STREAMED))
        call.cancel()
        return replies

    def _note(self, batch_id: str) -> None:
        if batch_id:
            self._known += 1
            self._words.append(batch_id)

    # ---- routes ---------------------------------------------------------------------------------

    def _routes(self) -> dict[str, dict[str, Any]]:
        paths: dict[str, dict[str, Any]] = self._http.get("/openapi.json").json()["paths"]
        return paths

    def _assail_route(self, verb: str, path: str, generator: Generator, count: int) -> None:
        wanted = st.tuples(
            generator.text(),
            st.dictionaries(_queries(), generator.text(), max_size=3),
            generator.body(CreateBatchRequest.DESCRIPTOR),
            st.sampled_from(["application/json", "text/plain", "a/b; c=d", ""]),
        )
        each(wanted, count, lambda made: self._ask(verb, path, *made))

    def _ask(
        self, verb: str, path: str, word: str, query: dict[str, str], body: bytes, content_type: str
    ) -> None:
        head, brace, tail = path.partition("{")
        filled = head + quote(word, safe="") + tail.partition("}")[2] if brace else path
        headers = {"Authorization": self._authorization, "Content-Type": content_type}
        content = body if verb == "POST" else None
        with self._http.stream(
            verb, filled, params=query, content=content, headers=headers
        ) as response:
            is_endless = response.headers.get("content-type", "").startswith("text/event-stream")
            text = "" if is_endless else response.read().decode(errors="replace")
        is_internal = response.status_code >= 500
        # A good answer may hold what a user wrote.
        self.findings.judge(f"{verb} {path}", is_internal, "" if response.is_success else text)
        if verb == "POST" and response.is_success and path.endswith(("/batch", "/batches")):
            made = response.json()
            self._note(str(made.get("batch", made).get("batch_id", "")))

    # ---- state ----------------------------------------------------------------------------------

    def _check_state(self) -> None:
        """Every batch that was acknowledged or none beside it is there, each of them whole."""
        batches = self._batches()
        for batch in batches:
            items = self._items(batch.batch_id)
            if len(items) != batch.progress.total or _counted(batch) != batch.progress.total:
                self.findings.faults.append(f"{batch.batch_id} is not whole")
        if len(batches) > self._known:
            self.findings.faults.append(f"{len(batches)} batches, of which {self._known} are known")

    def _batches(self) -> Sequence[Batch]:
        found: list[Batch] = []
        request = ListBatchesRequest(page_size=100)
        while True:
            page = self._read("ListBatches", request, ListBatchesResponse)
            found.extend(page.batches)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def _items(self, batch_id: str) -> Sequence[Any]:
        request = ListBatchItemsRequest(batch_id=batch_id, page_size=500)
        items: Sequence[Any] = self._read("ListBatchItems", request, ListBatchItemsResponse).items
        return items

    def _read(self, name: str, request: Any, kind: Any) -> Any:
        metadata = (("authorization", self._authorization),)
        path, body = f"{_PREFIX}/{name}", request.SerializeToString()
        return kind.FromString(self._replies(path, body, metadata, is_stream=False)[0])


def _counted(batch: Batch) -> int:
    counts = batch.progress
    return sum(
        getattr(counts, name)
        for name in (
            *("pending", "fetching", "transcribing", "waiting_retry"),
            *("succeeded", "failed", "cancelled", "skipped"),
        )
    )


def _names() -> st.SearchStrategy[str]:
    return st.text("abcdefgh-", min_size=1, max_size=12).map(lambda name: f"x{name}")


def _queries() -> st.SearchStrategy[str]:
    known = ("page_size", "page_token", "view", "state", "format", "after_revision")
    return st.sampled_from(known) | st.text(max_size=9)
