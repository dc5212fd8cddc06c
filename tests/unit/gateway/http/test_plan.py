"""The plan's request read as the contract's message."""

import pytest
from batchscribe.v1 import batch_pb2

from gateway.http.plan import BatchRequest, create_request

# As the plan prints it.
PLAN_REQUEST = {
    "videos": [
        {"youtube_url": "https://youtube.com/watch?v=abc123", "language": "en", "model": "base"},
        {"youtube_url": "https://youtube.com/watch?v=def456", "language": "pt", "model": "small"},
    ],
    "options": {
        "parallel": True,
        "max_concurrent": 3,
        "continue_on_error": True,
        "notify_webhook": "https://myapp.com/webhook",
    },
}


def test_the_plans_request_reads_field_for_field() -> None:
    """The plan's own request becomes a CreateBatchRequest with the same values."""
    request = create_request(BatchRequest.model_validate(PLAN_REQUEST), frozenset(), "")
    assert [(video.url, video.language, video.model) for video in request.videos] == [
        ("https://youtube.com/watch?v=abc123", "en", "base"),
        ("https://youtube.com/watch?v=def456", "pt", "small"),
    ]
    assert request.options == batch_pb2.BatchOptions(
        parallel=True,
        max_concurrent=3,
        continue_on_error=True,
        notify_webhook="https://myapp.com/webhook",
    )


@pytest.mark.parametrize(
    ("served", "model"), [({"base", "tiny.en"}, "base"), ({"tiny.en"}, ""), (set(), "")]
)
def test_no_model_means_base_where_it_is_served(served: set[str], model: str) -> None:
    """A video without a model gets "base" if that is served, else the server's default."""
    body = BatchRequest.model_validate({"videos": [{"youtube_url": "https://e.com"}]})
    request = create_request(body, frozenset(served), "")
    assert (request.videos[0].model, request.videos[0].language) == (model, "auto")


def test_playlists_are_taken_apart_only_if_asked() -> None:
    """``expand_playlists`` is the one option that the plan does not have."""
    body = {"videos": [{"youtube_url": "https://e.com"}]}
    plain = create_request(BatchRequest.model_validate(body), frozenset(), "")
    asked = BatchRequest.model_validate(body | {"options": {"expand_playlists": True}})
    assert not plain.options.expand_playlists
    assert create_request(asked, frozenset(), "").options.expand_playlists
