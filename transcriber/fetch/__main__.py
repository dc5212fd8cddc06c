"""Entry of the fetch child: one job is one address, several run at a time in threads."""

import logging
import os
from contextlib import closing

import yt_dlp
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract
from batchscribe.v1 import batch_pb2

from transcriber import jobs
from transcriber.fetch import confinement, network
from transcriber.fetch.fetching import Fetching
from transcriber.fetch.files import is_file_url
from transcriber.fetch.source import Source

_NO_OWN_NETWORK = batch_pb2.ItemError(
    reason="NO_OWN_NETWORK",
    message="This machine gives the process that fetches no network of its own.",
    hint="Let it have network namespaces, as docs/security.md says, "
    "or unset TRANSCRIBER_REQUIRE_NETWORK_NAMESPACE.",
)
_MAY_GO_AROUND = (
    "this machine gives no network namespace to us: what yt-dlp fetches goes through the filter "
    "all the same, but a hole in yt-dlp could go around it"
)

log = logging.getLogger(__name__)


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
    has_own_network = network.leave()
    with network.door() as door:
        line.pass_on(door)
    request = line.receive()
    if request is None:
        return
    if not has_own_network:
        if request.fetch_setup.needs_own_network:
            line.send(child_pb2.ChildReply(error=_NO_OWN_NETWORK))
            line.receive()  # Says nothing: the parent ends this process.
            return
        log.warning(_MAY_GO_AROUND)
    _serve(line, request.fetch_setup)


def _serve(line: jobs.Line, setup: child_pb2.FetchSetup) -> None:
    # Plug-ins would be code from whoever can write to a directory on the path.
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    fetcher = Fetcher(setup)
    fetcher.warm_up()
    confinement.begin(setup)
    line.send(child_pb2.ChildReply(state=child_pb2.ChildState()))
    jobs.serve(line, fetcher.work)


if __name__ == "__main__":
    main()
