"""A child process without a model: each job does what its address says.

``python -m tests.scripted_child``, started and asked as the product's own children are.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from batchscribe.transcriber.v1 import child_pb2

from transcriber import jobs
from transcriber.failures import VideoFailure

# What a job does.
DONE = "done"  # End at once.
BEAT = "beat"  # Get on until it is cancelled.
STALL = "stall"  # Say nothing until it is cancelled.
PATIENCE = "patience"  # Ask for patience, and then stall.
HANG = "hang"  # Say nothing, and do not stop either.
CRASH = "crash"
GROW = "grow"  # Take some memory, and get on.
BABBLE = "babble"  # Send what is no message.

GROWN_BYTES = 64 * 1024 * 1024
_PATIENCE_SECONDS = 60.0
_BEAT_SECONDS = 0.02

grown: list[bytes] = []


def work(job: jobs.Job) -> None:
    if job.request.HasField("load"):
        _load(job)
    else:
        _act(job, job.request.fetch.url)
        job.send(child_pb2.ChildReply(fetched=child_pb2.Fetched()))


def _load(job: jobs.Job) -> None:
    """Load a model, which is any file; of one that holds a number so many processes die first."""
    model = Path(job.request.load.model)
    if not model.exists():
        raise VideoFailure("MODEL_UNAVAILABLE", model=model, cause="it is not there.")
    if deaths := int(model.read_text() or 0):
        model.write_text(str(deaths - 1))
        _crash()
    job.send(child_pb2.ChildReply(loaded=child_pb2.Loaded()))


def _act(job: jobs.Job, deed: str) -> None:
    if deed != DONE:
        job.send(child_pb2.ChildReply(news=child_pb2.SourceNews(title=deed)))
    match deed:
        case "beat":
            _beat(job)
        case "stall":
            _stall(job)
        case "patience":
            job.check(_PATIENCE_SECONDS)
            _stall(job)
        case "hang":
            threading.Event().wait()
        case "crash":
            _crash()
        case "grow":
            grown.append(os.urandom(GROWN_BYTES))
            _beat(job)
        case "babble":
            os.write(int(sys.argv[1]), b"\0\0\0\1\xff")
            _stall(job)


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    threading.Event().wait()


def _beat(job: jobs.Job) -> None:
    while True:
        job.send(child_pb2.ChildReply(news=child_pb2.SourceNews()))
        threading.Event().wait(_BEAT_SECONDS)


def _stall(job: jobs.Job) -> None:
    cancelled = threading.Event()
    job.when_cancelled(cancelled.set)
    cancelled.wait()
    job.check()


def main() -> None:
    line = jobs.begin()
    line.receive()
    line.send(child_pb2.ChildReply(state=child_pb2.ChildState(loaded_models=["any"])))
    jobs.serve(line, work)


if __name__ == "__main__":
    main()
