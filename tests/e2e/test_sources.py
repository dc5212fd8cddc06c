"""What a transcriber finds at addresses: lists of videos, parts of recordings, files of its own."""

from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1.batch_pb2 import Clip
from batchscribe.v1.transcript_pb2 import Transcript, Word
from google.protobuf.duration_pb2 import Duration

from servicekit import status
from tests.conftest import SAMPLES, Sample
from tests.e2e.transcriber import Transcriber, running_transcriber
from tests.media import RATE, Answer, MediaServer, decode, encode, feed, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcriber]:
    """One for all tests of this module that leave it as they found it."""
    directory = tmp_path_factory.mktemp("transcriber")
    async with running_transcriber(directory, media_root=SAMPLES) as running:
        yield running


async def _resolve(
    transcriber: Transcriber, url: str, limit: int = 10
) -> contract.ResolveSourceResponse:
    request = contract.ResolveSourceRequest(url=url, limit=limit)
    return await transcriber.stub.ResolveSource(request, timeout=60)


async def test_a_feed_gives_its_episodes_in_order(
    transcriber: Transcriber, media: MediaServer
) -> None:
    """Addresses are those of the enclosures; titles and lengths are the feed's."""
    url = media.serve("podcast.xml", feed("A talk a week", ["/b.mp3", f"{media.url}/a.mp3"]))
    playlist = (await _resolve(transcriber, url)).playlist
    assert playlist.title == "A talk a week"
    assert [entry.url for entry in playlist.entries] == [f"{media.url}/b.mp3", f"{media.url}/a.mp3"]
    assert [entry.title for entry in playlist.entries] == ["Episode 1", "Episode 2"]
    assert playlist.entries[1].duration.ToSeconds() == 3602
    assert not playlist.truncated
    assert media.asked == ["/podcast.xml"] * len(media.asked)


async def test_a_long_feed_is_cut_aloud(transcriber: Transcriber, media: MediaServer) -> None:
    """Of a thousand episodes the first ones come, and the answer says that there are more."""
    url = media.serve("thousand.xml", feed("Long", [f"/{n}.mp3" for n in range(1000)]))
    cut = (await _resolve(transcriber, url, limit=500)).playlist
    whole = (await _resolve(transcriber, url, limit=1000)).playlist
    assert [entry.url for entry in cut.entries] == [f"{media.url}/{n}.mp3" for n in range(500)]
    assert cut.truncated
    assert len(whole.entries) == 1000
    assert not whole.truncated


async def test_a_page_with_several_videos_is_a_list(
    transcriber: Transcriber, media: MediaServer
) -> None:
    """Each video that the page embeds is an entry; one that comes twice stays twice."""
    players = "".join(f'<video src="/{name}.mp4"></video>' for name in ("one", "two", "one"))
    page = f"<!doctype html><html><title>Talks</title><body>{players}</body></html>"
    url = media.serve("talks", Answer(page.encode(), "text/html"))
    playlist = (await _resolve(transcriber, url)).playlist
    assert playlist.title == "Talks"
    assert [entry.url for entry in playlist.entries] == [
        f"{media.url}/{name}.mp4" for name in ("one", "two", "one")
    ]


async def test_segments_become_one_recording(transcriber: Transcriber, media: MediaServer) -> None:
    """A stream in segments, as most sites serve it, is put together without ffmpeg."""
    for name in ("one.ts", "two.ts"):
        media.serve(name, Answer(encode(tone(3), "mpegts"), "video/mp2t"))
    playlist = (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\none.ts\n"
        "#EXT-X-DISCONTINUITY\n#EXTINF:3,\ntwo.ts\n#EXT-X-ENDLIST\n"
    )
    url = media.serve("talk.m3u8", Answer(playlist.encode(), "application/vnd.apple.mpegurl"))
    transcript = (await transcriber.transcribe(url, "segments")).transcript
    assert transcript.duration.ToMilliseconds() == pytest.approx(6000, abs=300)


@pytest.mark.parametrize("name", ["talk.mp4", "talk.jpg", "talk.m3u"])
async def test_a_wrong_extension_does_not_matter(
    transcriber: Transcriber, media: MediaServer, name: str
) -> None:
    """A file is what its bytes say."""
    url = media.serve(name, Answer(encode(tone(2), "wav"), "audio/wav"))
    answer = await transcriber.transcribe(url, name)
    assert answer.transcript.source.media_format == "wav/pcm_s16le"


async def test_one_video_is_no_list(transcriber: Transcriber, media: MediaServer) -> None:
    """An address of one video is answered as such."""
    url = media.serve("single.mp4", Answer(encode(tone(1))))
    answer = await _resolve(transcriber, url)
    assert answer.WhichOneof("outcome") == "video"
    assert answer.video.url == url


EMPTY = {
    "no-items.xml": (feed("Nothing", []), "PLAYLIST_EMPTY"),
    "elsewhere.xml": (feed("Elsewhere", ["file:///etc/passwd", "ftp://x/y"]), "PLAYLIST_EMPTY"),
    "dead": (Answer(b"no", "text/plain", 404), "SOURCE_NOT_FOUND"),
    "text": (Answer(b"<!doctype html><p>hello", "text/html"), "UNSUPPORTED_MEDIA"),
}


@pytest.mark.parametrize("path", EMPTY)
async def test_what_cannot_be_listed_says_why(
    transcriber: Transcriber, media: MediaServer, path: str
) -> None:
    """Failures are those of Transcribe, as data."""
    answer, reason = EMPTY[path]
    assert (await _resolve(transcriber, media.serve(path, answer))).error.reason == reason


async def test_a_list_of_nothing_is_not_asked_for(transcriber: Transcriber) -> None:
    """A limit below 1 is the caller's mistake."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _resolve(transcriber, "http://x/", limit=0)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.reason_of(caught.value) == "LIMIT_OUT_OF_RANGE"


async def test_a_list_is_no_video(transcriber: Transcriber, media: MediaServer) -> None:
    """Transcribe refuses a list for good, and names the way to have all of it."""
    url = media.serve("feed.xml", feed("Two", ["/1.mp3", "/2.mp3"]))
    error = (await transcriber.transcribe(url, "list")).error
    assert error.reason == "PLAYLIST_NOT_ALLOWED"
    assert "expand_playlists" in error.hint
    assert not error.retryable


async def test_a_clip_is_told_in_times_of_the_whole(
    transcriber: Transcriber, media: MediaServer, samples: dict[str, Sample]
) -> None:
    """Only the part is heard; its words have the times at which they are in the recording."""
    speech = decode(samples["train.mp3"].path)
    media_file = encode(np.concatenate([speech, tone(20, loudness=0), speech]), "mp3")
    url = media.serve("twice.mp3", Answer(media_file, "audio/mpeg"))
    second = len(speech) // RATE + 20
    clip = Clip(start_offset=Duration(seconds=second - 5))
    whole = (await transcriber.transcribe(url, "whole", word_timestamps=True)).transcript
    part = (await transcriber.transcribe(url, "part", word_timestamps=True, clip=clip)).transcript
    expected = [word for word in _words(whole) if word.start_offset.seconds >= second]
    assert part.duration.seconds == whole.duration.seconds - second + 5
    assert [word.word for word in _words(part)] == [word.word for word in expected]
    assert [_start(word) for word in _words(part)] == pytest.approx(
        [_start(word) for word in expected], abs=0.5
    )


async def test_a_file_below_the_media_root_is_read_where_it_lies(
    transcriber: Transcriber, samples: dict[str, Sample]
) -> None:
    """The title is that of the file's tags, and the file is still there afterwards."""
    path = samples["train.mp3"].path
    transcript = (await transcriber.transcribe(path.as_uri(), "file")).transcript
    assert transcript.text
    assert transcript.source.title == samples["train.mp3"].title
    assert transcript.source.extractor == "file"
    assert path.exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:///no/such/file"])
async def test_no_other_file_is_read_or_told_of(transcriber: Transcriber, url: str) -> None:
    """What lies outside the media root and what is not there are the same to a user."""
    error = (await transcriber.transcribe(url, url)).error
    assert error.reason == "FILE_UNAVAILABLE"
    assert "/" not in error.message + error.hint


def _words(transcript: Transcript) -> list[Word]:
    return [word for segment in transcript.segments for word in segment.words]


def _start(word: Word) -> float:
    return word.start_offset.ToMilliseconds() / 1000
