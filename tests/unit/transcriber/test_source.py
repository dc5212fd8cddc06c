"""What a site says, and which of the formats that it offers is fetched."""

from typing import Any

import pytest
from batchscribe.transcriber.v1.child_pb2 import FetchSetup

from transcriber.fetch.source import Listing, Source


def _audio(name: str, kbps: int, codec: str = "opus", **more: Any) -> dict[str, Any]:
    return {"format_id": name, "acodec": codec, "vcodec": "none", "abr": kbps, **more}


def _video(name: str, height: int) -> dict[str, Any]:
    return {"format_id": name, "acodec": "mp4a", "vcodec": "avc1", "height": height}


def _chosen(*formats: dict[str, Any]) -> str:
    offered = [{"url": f"https://example.com/{one['format_id']}", **one} for one in formats]
    info = {"id": "1", "title": "t", "extractor": "e", "webpage_url": "https://example.com/"}
    source = Source(FetchSetup(max_bytes=10**9), lambda: None)
    chosen = source.process_video_result({**info, "formats": offered}, download=False)
    return str(chosen["format_id"])


@pytest.mark.parametrize("timestamp", [None, 10**18, float("inf"), float("nan")])
def test_a_time_that_cannot_be_is_unknown(timestamp: float | None) -> None:
    """What a site says about itself is bounded, and taken if it makes sense."""
    listing = Listing({"timestamp": timestamp, "id": "x" * 10_000, "uploader": None})
    source = listing.source()
    assert not source.HasField("publish_time")
    assert len(source.source_id) == 300


@pytest.mark.parametrize(
    ("formats", "expected"),
    [
        ((_audio("48", 48), _audio("70", 70), _audio("160", 160)), "70"),
        ((_audio("256", 256), _audio("130", 130, "mp4a")), "256"),
        (
            (
                _audio("dubbed", 64, language_preference=-1),
                _audio("original", 128, language_preference=10),
            ),
            "original",
        ),
        ((_video("1080", 1080), _video("240", 240), _audio("sound", 128)), "sound"),
        ((_video("1080", 1080), _video("240", 240), _video("480", 480)), "240"),
    ],
    ids=["enough for speech", "opus", "original language", "sound alone", "small pictures"],
)
def test_the_smallest_adequate_audio_is_chosen(
    formats: tuple[dict[str, Any], ...], expected: str
) -> None:
    """The original language comes first, then sound alone, then no more than speech needs."""
    assert _chosen(*formats) == expected
