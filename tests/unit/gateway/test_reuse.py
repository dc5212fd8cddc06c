"""Which jobs are the same."""

import pytest
from batchscribe.transcriber.v1.transcriber_service_pb2 import TranscribeRequest
from batchscribe.v1.batch_pb2 import TranscribeOptions

from gateway.reuse import canonical, digest

WATCH = "https://www.youtube.com/watch?v=BaW_jenozKc"
SHA = "0" * 64


@pytest.mark.parametrize(
    "url",
    [
        "https://youtu.be/BaW_jenozKc",
        "https://youtu.be/BaW_jenozKc?si=abc&t=10",
        "http://youtube.com/watch?v=BaW_jenozKc&list=PL1&t=5s",
        "https://m.youtube.com/watch?feature=share&v=BaW_jenozKc#t=3",
        "https://www.youtube.com/shorts/BaW_jenozKc",
        "https://music.youtube.com/watch?v=BaW_jenozKc",
        "https://www.youtube-nocookie.com/embed/BaW_jenozKc",
    ],
)
def test_addresses_of_one_youtube_video_are_one(url: str) -> None:
    """However a video is shared, it is the same video."""
    assert canonical(url) == WATCH


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("HTTPS://Media.Test:443/A.mp4#t=3", "https://media.test/A.mp4"),
        ("http://media.test:80/a", "http://media.test/a"),
        ("https://media.test/a?utm_source=x&id=1&fbclid=y", "https://media.test/a?id=1"),
        ("https://[2001:DB8::1]:443/a", "https://[2001:db8::1]/a"),
    ],
)
def test_what_does_not_matter_is_left_out(url: str, same: str) -> None:
    """Case of the host, usual ports, fragments and the marks of advertisers say nothing."""
    assert canonical(url) == same


@pytest.mark.parametrize(
    "url",
    [
        "https://media.test/a?b=%2f&c=+&sig=a/b==",
        "https://media.test:8443/a",
        "http://media.test/a/",
        "https://www.youtube.com/playlist?list=PL1",
        "https://www.youtube.com/watch?v=short",
        "https://youtube.com.evil.test/watch?v=BaW_jenozKc",
    ],
)
def test_what_may_matter_is_kept_byte_for_byte(url: str) -> None:
    """An address that may lead elsewhere when it is changed stays as it is."""
    assert canonical(url) == url


def test_anything_else_that_differs_makes_another_job() -> None:
    """Language, model, its weights, and each option count; epoch and task id do not."""
    base = TranscribeRequest(url=WATCH, language="auto", model="base", task_id="a", epoch=3)
    others = [
        TranscribeRequest(url=WATCH, language="en", model="base"),
        TranscribeRequest(url=WATCH, language="auto", model="tiny"),
        TranscribeRequest(
            url=WATCH,
            language="auto",
            model="base",
            options=TranscribeOptions(word_timestamps=True),
        ),
    ]
    again = TranscribeRequest(url=WATCH, language="auto", model="base", task_id="b", epoch=9)
    assert digest(base, SHA) == digest(again, SHA)
    assert len({digest(base, SHA), digest(base, "1" * 64), *(digest(o, SHA) for o in others)}) == 5
