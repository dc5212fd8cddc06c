"""What is printed for people."""

import pytest
from batchscribe.cli.wording import clock, explain, printable
from batchscribe.client.errors import FieldViolation, InvalidRequest, Unauthenticated


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "0:00"), (65, "1:05"), (3599.6, "1:00:00"), (36_000, "10:00:00")]
)
def test_durations_read_like_a_clock(seconds: float, shown: str) -> None:
    """Minutes and seconds, with hours only where there are any."""
    assert clock(seconds) == shown


def test_what_strangers_wrote_stays_on_its_line() -> None:
    """Line breaks become spaces, control and direction characters vanish."""
    assert printable("a\r\nb\x1b[31m\u202ec\x07") == "a b[31mc"


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
