"""Entry of the fetch child: one job is one address, several run at a time in threads."""

import os
from contextlib import closing

import yt_dlp
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

from transcriber import jobs
from transcriber.fetch import confinement, network
from transcriber.fetch.fetching import Fetching
from transcriber.fetch.files import is_file_url
from transcriber.fetch.source import Source


class Fetcher:
    """Does the jobs of this child within the limits of ``setup``."""

    def __init__(self, setup: child_pb2.FetchSetup) -> None:
        self._setup = setup

    def warm_up(self) -> None:
        """Compile the patterns of yt-dlp's 1800 extractors, which takes a quarter of a second."""
        for extractor in yt_dlp.extractor.gen_extractor_classes():
            extractor.suitable("http://localhost/")

    def work(self, job: jobs.Job) -> None:
        if job.request.HasField("resolve"):
            job.send(child_pb2.ChildReply(resolved=self._resolve(job)))
        else:
            job.send(child_pb2.ChildReply(fetched=Fetching(self._setup, job).run()))

    def _resolve(self, job: jobs.Job) -> contract.ResolveSourceResponse:
        asked = job.request.resolve
        if is_file_url(asked.url):
            return contract.ResolveSourceResponse(video=contract.PlaylistEntry(url=asked.url))
        with closing(Source(self._setup, job.check, list_limit=asked.limit + 1)) as source:
            job.when_cancelled(source.hang_up)
            return source.resolve(asked.url, asked.limit)


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
    confinement.begin(request.fetch_setup)
    line.send(child_pb2.ChildReply(state=child_pb2.ChildState()))
    jobs.serve(line, fetcher.work)


if __name__ == "__main__":
    main()
