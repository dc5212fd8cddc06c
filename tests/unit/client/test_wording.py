"""What is printed for people."""

import pytest
from batchscribe.cli.wording import clock, explain, number_of, printable, state_of
from batchscribe.client.errors import FieldViolation, InvalidRequest, Unauthenticated
from batchscribe.v1.batch_pb2 import ITEM_STATE_PENDING, BatchItem


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "0:00"), (65, "1:05"), (3599.6, "1:00:00"), (36_000, "10:00:00")]
)
def test_durations_read_like_a_clock(seconds: float, shown: str) -> None:
    """Minutes and seconds, with hours only where there are any."""
    assert clock(seconds) == shown


def test_what_strangers_wrote_stays_on_its_line() -> None:
    """Line breaks become spaces, control and direction characters vanish."""
    assert printable("a\r\nb\x1b[31m\u202ec\x07") == "a b[31mc"


def test_a_video_of_a_playlist_is_numbered_within_it() -> None:
    """The number of a video is its place in the request, and in its playlist if it has one."""
    video = BatchItem(index=3)
    assert number_of(video) == "3"
    video.playlist.place = 12
    assert number_of(video) == "3.12"


def test_what_may_be_a_playlist_is_unresolved() -> None:
    """A pending address that nobody has looked at is shown as such."""
    item = BatchItem(state=ITEM_STATE_PENDING, unresolved=True)
    assert state_of(item) == "unresolved"
    item.unresolved = False
    assert state_of(item) == "pending"


def test_every_violation_gets_a_line() -> None:
    """An invalid request is explained field by field."""
    error = InvalidRequest(
        "videos: too many (and 1 more)",
        violations=(FieldViolation("videos", "too many"), FieldViolation("options", "odd")),
    )
    expected = "The request was not accepted:\n- videos: too many\n- options: odd"
    assert explain(error) == expected


def test_a_missing_key_comes_with_a_hint() -> None:
    """The hint names the option and the variable."""
    assert "--api-key" in explain(Unauthenticated("A key is needed."))
