"""Which jobs of a process have been silent for too long, by a clock of our own."""

import pytest
from batchscribe.transcriber.v1 import child_pb2
from batchscribe.v1 import batch_pb2

from transcriber.job_table import ChildDied, Ending, Job, JobFailed, JobHung, JobTable

SILENCE_SECONDS = 10.0
GRACE_SECONDS = 3.0


class Table(JobTable):
    """A table whose clock is set by hand."""

    def __init__(self) -> None:
        super().__init__(SILENCE_SECONDS, GRACE_SECONDS, lambda: self.now)
        self.now = 0.0
        self.news: list[child_pb2.ChildReply] = []

    def begin(self) -> Job:
        return self.add(self.news.append)


def beat(job: Job, quiet_seconds: float = 0.0) -> child_pb2.ChildReply:
    return child_pb2.ChildReply(job_id=job.number, beat=child_pb2.Beat(quiet_seconds=quiet_seconds))


def stopped(job: Job) -> child_pb2.ChildReply:
    return child_pb2.ChildReply(job_id=job.number, stopped=child_pb2.Stopped())


async def test_whoever_beats_is_not_overdue() -> None:
    """Each word of a job gives it the whole time again, and only to this job."""
    table = Table()
    beating, silent = table.begin(), table.begin()
    table.now = SILENCE_SECONDS
    table.hear(beat(beating))
    assert table.overdue() == []
    table.now += 1
    assert table.overdue() == [silent]
    assert table.news == []


async def test_patience_ends_with_the_next_word() -> None:
    """A job may announce a silence; once it speaks again the usual time counts."""
    table = Table()
    job = table.begin()
    table.hear(beat(job, quiet_seconds=100))
    table.now = 100
    assert table.overdue() == []
    table.hear(beat(job))
    table.now += SILENCE_SECONDS + 1
    assert table.overdue() == [job]


async def test_who_is_to_stop_has_the_grace() -> None:
    """What a job says after that gives it no more time, but what it asked for before does."""
    table = Table()
    job, loading = table.begin(), table.begin()
    table.hear(beat(loading, quiet_seconds=100))
    assert table.stop(job)
    assert table.stop(loading)
    assert not table.stop(job)
    table.hear(beat(job))
    table.now = GRACE_SECONDS + 1
    assert table.overdue() == [job]


async def test_a_job_ends_once() -> None:
    """A word about a job that has ended is not for anybody."""
    table = Table()
    job = table.begin()
    table.hear(child_pb2.ChildReply(job_id=job.number, loaded=child_pb2.Loaded()))
    table.hear(stopped(job))
    assert job.ended.result().HasField("loaded")
    assert (len(table), table.ended) == (0, 1)


async def test_how_a_job_ended_is_told_apart() -> None:
    """A job can fail by itself, hang, or lose its process."""
    table = Table()
    failing, hung, left, lost = (table.begin() for _ in range(4))
    table.hear(child_pb2.ChildReply(job_id=failing.number, error=batch_pb2.ItemError(reason="NO")))
    table.stop(hung, hung=True)
    table.hear(stopped(hung))
    table.stop(left, hung=True)
    table.fail(Ending.REPLACED)
    for job, kind in ((failing, JobFailed), (hung, JobHung), (left, JobHung), (lost, ChildDied)):
        with pytest.raises(kind):
            job.ended.result()
