"""A child process from the inside: jobs come in over one socket and run in threads.

The child lives exactly as long as its parent: the kernel kills it when the parent dies, and the
end of the socket ends it as well. If memory runs out, the kernel takes the child first.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from batchscribe.transcriber.v1 import child_pb2

from transcriber import diagnosis, failures, frames

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # From linux/prctl.h.
_BEAT_SECONDS = 1.0
_OOM_SCORE_ADJ = 500  # Of 1000; see proc(5).


class JobCancelled(Exception):
    """The parent has no more use for the job."""


class Line:
    """The child's end of the socket. Any thread may send."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file: BinaryIO = connection.makefile("rb")
        self._sending = threading.Lock()

    def pass_on(self, listener: socket.socket) -> None:
        """Give the parent ``listener``, before anything is said."""
        socket.send_fds(self._connection, [b"\0"], [listener.fileno()])

    def send(self, reply: child_pb2.ChildReply) -> None:
        frame = frames.pack(reply)
        with self._sending:
            self._connection.sendall(frame)

    def receive(self) -> child_pb2.ChildRequest | None:
        body = frames.read_frame_from(self._file)
        return None if body is None else child_pb2.ChildRequest.FromString(body)


class Job:
    """One request as the thread that works on it sees it."""

    def __init__(self, request: child_pb2.ChildRequest, line: Line) -> None:
        self.request = request
        self._line = line
        self._cancelled = threading.Event()
        self._when_cancelled: Callable[[], None] | None = None
        self._spoken = time.monotonic()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def check(self, quiet_seconds: float = 0.0) -> None:
        """Let the parent know that the job gets on; raise JobCancelled if it has asked to stop.

        For ``quiet_seconds`` from now on silence does not mean that the job hangs.
        """
        self._stop_if_asked()
        if quiet_seconds or time.monotonic() - self._spoken >= _BEAT_SECONDS:
            self.send(child_pb2.ChildReply(beat=child_pb2.Beat(quiet_seconds=quiet_seconds)))
        if quiet_seconds:
            self._spoken = 0.0  # The next check takes the word back.

    def send(self, reply: child_pb2.ChildReply) -> None:
        """Tell the parent; raises JobCancelled once it has asked to stop."""
        self._stop_if_asked()
        self._say(reply)

    def confirm_end(self) -> None:
        """Tell a parent that has asked to stop that nothing of the job runs any more."""
        if self.cancelled:
            self._say(child_pb2.ChildReply(stopped=child_pb2.Stopped()))

    def when_cancelled(self, act: Callable[[], None]) -> None:
        """Have ``act`` called from another thread on cancel: to break a blocking read."""
        self._when_cancelled = act
        if self.cancelled:
            act()

    def cancel(self) -> None:
        self._cancelled.set()
        if self._when_cancelled is not None:
            self._when_cancelled()

    def _stop_if_asked(self) -> None:
        if self.cancelled:
            raise JobCancelled

    def _say(self, reply: child_pb2.ChildReply) -> None:
        self._spoken = time.monotonic()
        reply.job_id = self.request.job_id
        self._line.send(reply)


def serve(line: Line, work: Callable[[Job], None]) -> None:
    """Run ``work`` in a thread for each job until the parent goes, then end the process.

    What ``work`` raises is sent as the job's error.
    """
    running: dict[int, Job] = {}
    while (request := line.receive()) is not None:
        if request.HasField("cancel"):
            if (job := running.get(request.job_id)) is not None:
                job.cancel()
            continue
        job = Job(request, line)
        running[request.job_id] = job
        threading.Thread(target=_run, args=(job, work, running), daemon=True).start()
    # Native code in the threads cannot be asked to stop.
    os._exit(0)


def _run(job: Job, work: Callable[[Job], None], running: dict[int, Job]) -> None:
    try:
        work(job)
    except Exception as error:
        # What breaks because the job was cancelled is of no interest.
        with suppress(JobCancelled):
            _send_error(job, error)
    finally:
        del running[job.request.job_id]
        job.confirm_end()


def _send_error(job: Job, error: Exception) -> None:
    if job.cancelled:
        return
    failure = diagnosis.classify(error)
    if failure.reason == failures.INTERNAL:
        log.error("job failed for a reason that nobody foresaw", exc_info=error)
    job.send(child_pb2.ChildReply(error=failure))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def begin() -> Line:
    """Tie this process to its parent and return the line that it was started with."""
    logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    descriptor, parent = (int(argument) for argument in sys.argv[1:3])
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_ADJ))
    # Ctrl-C in a terminal reaches the whole group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return Line(socket.socket(fileno=descriptor))
