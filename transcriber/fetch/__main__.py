"""Entry of the fetch child: one job is one address, several run at a time in threads."""

import os
import shutil
import time
from contextlib import closing
from pathlib import Path

import yt_dlp
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import batch_pb2

from transcriber import jobs
from transcriber.clips import Part, part_of
from transcriber.failures import VideoFailure
from transcriber.fetch import network
from transcriber.fetch.decode import Decoded, Media, MediaFile
from transcriber.fetch.files import is_file_url, path_of
from transcriber.fetch.source import Listing, Source, check_size

_UNHEARD_SECONDS = 0.25  # Declared lengths are rounded to about as much.


class Fetcher:
    """Fetches and decodes; knows the limits."""

    def __init__(self, setup: child_pb2.FetchSetup) -> None:
        self._setup = setup
        self._max_seconds = setup.max_audio.ToTimedelta().total_seconds()

    def warm_up(self) -> None:
        """Compile the patterns of yt-dlp's 1800 extractors, which takes a quarter of a second."""
        for extractor in yt_dlp.extractor.gen_extractor_classes():
            extractor.suitable("http://localhost/")

    def work(self, job: jobs.Job) -> None:
        if job.request.HasField("resolve"):
            job.send(self._resolve(job))
        else:
            self._work_in(Path(job.request.fetch.directory), job)

    def _resolve(self, job: jobs.Job) -> child_pb2.ChildReply:
        asked = job.request.resolve
        if is_file_url(asked.url):
            video = contract.PlaylistEntry(url=asked.url)
            return child_pb2.ChildReply(resolved=contract.ResolveSourceResponse(video=video))
        with closing(Source(self._setup, job.check, list_limit=asked.limit + 1)) as source:
            job.when_cancelled(source.hang_up)
            return child_pb2.ChildReply(resolved=source.list(asked.url, asked.limit))

    def _work_in(self, directory: Path, job: jobs.Job) -> None:
        try:
            job.send(self._fetch(job, directory))
        finally:
            if job.cancelled:
                shutil.rmtree(directory, ignore_errors=True)

    def _fetch(self, job: jobs.Job, directory: Path) -> child_pb2.ChildReply:
        started = time.monotonic()
        listing, media_path = self._obtain(job, directory / "media")
        fetched = time.monotonic()
        samples_path = directory / "samples"
        with MediaFile(media_path) as file:
            media = file.media
            self._tell(job, _title(listing, media), media.duration_seconds)
            decoded = file.decode(samples_path, _part(job), self._max_seconds, job.check)
        (directory / "media").unlink(missing_ok=True)
        reply = _fetched(job, listing, media, decoded, samples_path)
        reply.timings.fetch.FromMilliseconds(int((fetched - started) * 1000))
        reply.timings.decode.FromMilliseconds(int((time.monotonic() - fetched) * 1000))
        return child_pb2.ChildReply(fetched=reply)

    def _obtain(self, job: jobs.Job, path: Path) -> tuple[Listing, Path]:
        """Return what is known of the source and where its media is: at ``path`` if downloaded."""
        url = job.request.fetch.url
        if not is_file_url(url):
            return self._download(job, path), path
        file = path_of(url, self._setup.media_root)
        check_size(file.stat().st_size, self._setup.max_bytes)
        name = {"id": file.stem, "title": file.stem, "extractor": "file"}
        return Listing({**name, "direct": True}), file

    def _download(self, job: jobs.Job, path: Path) -> Listing:
        with closing(Source(self._setup, job.check)) as source:
            job.when_cancelled(source.hang_up)
            listing = source.look_up(job.request.fetch.url)
            self._tell(job, "" if listing.is_bare_file else listing.title, listing.duration_seconds)
            source.download(listing, path)
        return listing

    def _tell(self, job: jobs.Job, title: str, whole_seconds: float) -> None:
        """Report what is known of the source, unless it is too long."""
        seconds = _part(job).length_of(whole_seconds)
        if seconds > self._max_seconds:
            raise VideoFailure("MEDIA_TOO_LONG", limit_seconds=int(self._max_seconds))
        news = child_pb2.SourceNews(title=title)
        if seconds:
            news.audio_duration.FromMilliseconds(int(seconds * 1000))
        job.send(child_pb2.ChildReply(news=news))


def _part(job: jobs.Job) -> Part:
    return part_of(job.request.fetch.clip)


def _title(listing: Listing, media: Media) -> str:
    return (media.title or listing.title) if listing.is_bare_file else listing.title


def _fetched(
    job: jobs.Job, listing: Listing, media: Media, decoded: Decoded, samples_path: Path
) -> child_pb2.Fetched:
    fetched = child_pb2.Fetched(samples_path=str(samples_path), source=listing.source())
    fetched.source.url = job.request.fetch.url
    fetched.source.title = _title(listing, media)
    fetched.source.media_format = media.media_format
    fetched.audio_duration.FromMilliseconds(int(decoded.duration_seconds * 1000))
    if decoded.bad_packets or decoded.missing_seconds > _UNHEARD_SECONDS:
        fetched.warnings.append(_damaged(decoded))
    return fetched


def _damaged(decoded: Decoded) -> batch_pb2.ItemWarning:
    return batch_pb2.ItemWarning(
        reason="MEDIA_DAMAGED",
        message=(
            f"The file is damaged: {decoded.bad_packets} pieces of its audio could not be read "
            f"and {decoded.missing_seconds:.1f} s are missing."
        ),
    )


def main() -> None:
    line = jobs.begin()
    network.leave()
    with network.door() as door:
        line.pass_on(door)
    request = line.receive()
    if request is None:
        return
    # Plug-ins would be code from whoever can write to a directory on the path.
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    fetcher = Fetcher(request.fetch_setup)
    fetcher.warm_up()
    line.send(child_pb2.ChildReply(state=child_pb2.ChildState()))
    jobs.serve(line, fetcher.work)


if __name__ == "__main__":
    main()
