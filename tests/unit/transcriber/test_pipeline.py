"""What the end of a job means for its video."""

import pytest
from batchscribe.v1 import batch_pb2

from transcriber.children import ChildUnavailable
from transcriber.job_table import ChildDied, Ending, JobFailed
from transcriber.pipeline import _error_of


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (JobFailed(batch_pb2.ItemError(reason="NO_AUDIO")), "NO_AUDIO"),
        (ChildDied(Ending.CRASHED), "WORKER_CRASHED"),
        (ChildDied(Ending.HUNG), "WORKER_CRASHED"),
        (ChildDied(Ending.TOO_LARGE), "OUT_OF_MEMORY"),
        (ChildUnavailable("transcriber.engine"), "WORKER_UNAVAILABLE"),
    ],
)
def test_each_end_has_its_reason(end: Exception, reason: str) -> None:
    """A video that fails is told why, and only a crash or a hang counts as one."""
    assert _error_of(end).reason == reason
