"""What a transcriber finds at addresses: lists of videos, parts of recordings, files of its own."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

from servicekit import status
from tests.e2e.transcriber import Transcriber, running_transcriber
from tests.media import Answer, MediaServer, encode, feed, media_server, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def transcriber(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Transcriber]:
    """One for all tests of this module that leave it as they found it."""
    async with running_transcriber(tmp_path_factory.mktemp("transcriber")) as running:
        yield running


@pytest.fixture(scope="module")
def media() -> Iterator[MediaServer]:
    with media_server() as server:
        yield server


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
