"""One video on its way from address to samples."""

import shutil
import time
from contextlib import closing
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2

from transcriber import jobs
from transcriber.clips import part_of
from transcriber.failures import VideoFailure
from transcriber.fetch.decode import Decoded, Media, MediaFile
from transcriber.fetch.files import is_file_url, path_of
from transcriber.fetch.quota import ScratchQuota
from transcriber.fetch.source import Listing, Source, check_size

_UNHEARD_SECONDS = 0.25  # Declared lengths are rounded to about as much.


class Fetching:
    """What becomes of one job of the fetch child within the limits of ``setup``."""

    def __init__(self, setup: child_pb2.FetchSetup, job: jobs.Job) -> None:
        asked = job.request.fetch
        self._setup = setup
        self._job = job
        self._url = asked.url
        self._part = part_of(asked.clip)
        self._directory = Path(asked.directory)
        self._download_path = self._directory / "media"
        self._max_seconds = setup.max_audio.ToTimedelta().total_seconds()
        self._quota = ScratchQuota(self._directory, setup.scratch_bytes)

    def run(self) -> child_pb2.Fetched:
        """Return where the samples are. Raises VideoFailure, yt-dlp's or PyAV's errors."""
        try:
            return self._run()
        finally:
            if self._job.cancelled:
                shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self) -> child_pb2.Fetched:
        started = time.monotonic()
        listing, media_path = self._obtain()
        obtained = time.monotonic()
        samples_path = self._directory / "samples"
        with MediaFile(media_path) as file:
            media = file.media
            self._tell(_title(listing, media), media.duration_seconds)
            decoded = file.decode(samples_path, self._part, self._max_seconds, self._check)
        self._download_path.unlink(missing_ok=True)
        fetched = self._fetched(listing, media, decoded)
        fetched.samples_path = str(samples_path)
        fetched.timings.fetch.FromMilliseconds(int((obtained - started) * 1000))
        fetched.timings.decode.FromMilliseconds(int((time.monotonic() - obtained) * 1000))
        return fetched

    def _obtain(self) -> tuple[Listing, Path]:
        """Return what is known of the source, and where its media is."""
        if not is_file_url(self._url):
            return self._download(), self._download_path
        path = path_of(self._url, self._setup.media_root)
        check_size(path.stat().st_size, self._setup.max_bytes)
        names = {"id": path.stem, "title": path.stem, "extractor": "file"}
        return Listing({**names, "direct": True}), path

    def _download(self) -> Listing:
        with closing(Source(self._setup, self._check)) as source:
            self._job.when_cancelled(source.hang_up)
            listing = source.look_up(self._url)
            self._tell("" if listing.is_bare_file else listing.title, listing.duration_seconds)
            source.download(listing, self._download_path)
        return listing

    def _check(self) -> None:
        self._job.check()
        self._quota.check()

    def _tell(self, title: str, whole_seconds: float) -> None:
        """Report what is known of the source, unless it is too long."""
        seconds = self._part.length_of(whole_seconds)
        if seconds > self._max_seconds:
            raise VideoFailure("MEDIA_TOO_LONG", limit_seconds=int(self._max_seconds))
        news = child_pb2.SourceNews(title=title)
        if seconds:
            news.audio_duration.FromMilliseconds(int(seconds * 1000))
        self._job.send(child_pb2.ChildReply(news=news))

    def _fetched(self, listing: Listing, media: Media, decoded: Decoded) -> child_pb2.Fetched:
        fetched = child_pb2.Fetched(source=listing.source())
        fetched.source.url = self._url
        fetched.source.title = _title(listing, media)
        fetched.source.media_format = media.media_format
        fetched.audio_duration.FromMilliseconds(int(decoded.duration_seconds * 1000))
        if decoded.bad_packets or decoded.missing_seconds > _UNHEARD_SECONDS:
            fetched.warnings.append(_damaged(decoded))
        return fetched


def _title(listing: Listing, media: Media) -> str:
    return (media.title or listing.title) if listing.is_bare_file else listing.title


def _damaged(decoded: Decoded) -> batch_pb2.ItemWarning:
    return batch_pb2.ItemWarning(
        reason="MEDIA_DAMAGED",
        message=(
            f"The file is damaged: {decoded.bad_packets} pieces of its audio could not be read "
            f"and {decoded.missing_seconds:.1f} s are missing."
        ),
    )
